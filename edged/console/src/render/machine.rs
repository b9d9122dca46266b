//! The box itself.

use std::fmt::Write as _;

use super::Look;
use crate::measure::span;
use crate::table::{Cell, Tone, paint, table};
use crate::{AccessView, CommissionView, StatusView};

// `write!` into a String cannot fail, so what it returns is passed over.

pub(crate) fn status(status: &StatusView, look: Look) -> String {
    let mut text = format!(
        "edged {}, up {}, zone {}\n",
        status.version,
        span(status.uptime),
        status.zone,
    );
    if let Some(build) = &status.build {
        let _ = writeln!(text, "image {} for {}", build.version, build.board);
        if build.development {
            let loud = paint("DEVELOPMENT", Tone::Bad, look.color);
            let _ = writeln!(
                text,
                "{loud}: this image is signed with a developer's keys; do not put it into the field"
            );
        }
    }
    if !status.commissioned {
        text.push_str("nobody's yet: commission [--site SITE] < YOUR-KEY.pub makes it yours\n");
    }
    let _ = write!(
        text,
        "{} of {} applications are ready\n\n",
        status.applications.ready, status.applications.total
    );
    let rows = status.parts.iter().map(|part| {
        let state = if part.ok {
            Cell::toned("ok", Tone::Good)
        } else {
            Cell::toned("failed", Tone::Bad)
        };
        [
            part.name.as_str().into(),
            state,
            part.detail.as_str().into(),
        ]
    });
    text.push_str(&table(
        ["PART", "STATE", "DETAIL"],
        rows.collect(),
        look.color,
    ));
    text
}

pub(crate) fn commission(view: &CommissionView) -> String {
    let mut text = format!(
        "this box is yours now; its zone is {}.mec.internal\n\n",
        view.site
    );
    let rows = view.operators.iter().map(|operator| {
        [
            operator.name.as_str().into(),
            operator.fingerprint.as_str().into(),
        ]
    });
    text.push_str(&table(["OPERATOR", "KEY"], rows.collect(), false));
    if let Some(key) = &view.recovery_key {
        let _ = writeln!(
            text,
            "\nrecovery key: {key}\nIt opens the data when the TPM does not. It is shown this once: write it down and keep it away from the box."
        );
    }
    text
}

pub(crate) fn access(view: &AccessView) -> String {
    format!(
        "token     {}\nlives     {}\nmqtt      {} {}\nsubnet    {}\n{}",
        view.token,
        span(view.lifetime),
        view.mqtt.user,
        view.mqtt.password,
        view.app_subnet,
        view.ca,
    )
}
