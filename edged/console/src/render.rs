//! Views as tables and as JSON.

mod machine;
mod rules;
mod trust;
mod update;

use edged_model::{InstanceState, Protocol, PublishedPort};
use serde::Serialize;

use crate::measure::{share, span, timestamp};
use crate::table::{Cell, Tone, paint, table};
use crate::{ImageView, InstanceView, LogLine, PackageView, PlatformError, SignerView, StatsView};

pub(crate) use crate::finding::findings;
pub(crate) use machine::{access, commission, status};
pub(crate) use rules::{dns_rules, services, traffic_rules};
pub(crate) use trust::{image_keys, keys, registers};
pub(crate) use update::update;

/// Hexadecimal digits of a digest in a table; enough to tell two images apart.
const DIGEST_SHOWN: usize = 19;

/// How answers look: whether they are coloured, and what time it is for ages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) color: bool,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// One document on one line, as logs and progress have it.
pub(crate) fn json_line<T: Serialize>(value: &T) -> String {
    // The views are plain data with text keys; should one ever not be, the reader still gets JSON.
    let mut line = serde_json::to_string(value)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string());
    line.push('\n');
    line
}

/// One document over several lines.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string());
    text.push('\n');
    text
}

pub(crate) fn instances(list: &[InstanceView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        [
            one.name.as_str().into(),
            one.image.to_string().into(),
            Cell::toned(state(&one.state), tone(&one.state)),
            one.started
                .map_or("-".to_owned(), |at| span(look.now.saturating_sub(at)))
                .into(),
            one.restarts.to_string().into(),
            one.v4.to_string().into(),
            ports(&one.ports).into(),
        ]
    });
    let heading = [
        "NAME", "IMAGE", "STATE", "UP", "RESTARTS", "ADDRESS", "PORTS",
    ];
    table(heading, rows.collect(), look.color)
}

/// What `run` ends with.
pub(crate) fn started(one: &InstanceView, look: Look) -> String {
    let state = paint(&state(&one.state), tone(&one.state), look.color);
    let mut text = format!("{} is {state} at {} ({})", one.name, one.v4, one.host_name);
    if !one.ports.is_empty() {
        text.push_str(", ports ");
        text.push_str(&ports(&one.ports));
    }
    text.push('\n');
    text
}

pub(crate) fn images(list: &[ImageView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        let names: Vec<String> = one.references.iter().map(ToString::to_string).collect();
        let users: Vec<&str> = one.used_by.iter().map(AsRef::as_ref).collect();
        [
            dash_if_empty(names.join(", ")).into(),
            digest(&one.manifest.to_string()).into(),
            one.size.to_string().into(),
            one.layers.to_string().into(),
            one.created
                .map_or("-".to_owned(), |at| {
                    format!("{} ago", span(look.now.saturating_sub(at)))
                })
                .into(),
            dash_if_empty(one.signed_by.clone().unwrap_or_default()).into(),
            dash_if_empty(users.join(", ")).into(),
        ]
    });
    let heading = [
        "IMAGE",
        "DIGEST",
        "SIZE",
        "LAYERS",
        "CREATED",
        "SIGNED BY",
        "USED BY",
    ];
    table(heading, rows.collect(), look.color)
}

/// The names of images that were fetched or loaded, one a line: ready for the next command.
pub(crate) fn image_names(list: &[ImageView]) -> String {
    let name = |one: &ImageView| match one.references.first() {
        Some(reference) => format!("{reference}\n"),
        None => format!("{}\n", one.manifest),
    };
    list.iter().map(name).collect()
}

pub(crate) fn packages(list: &[PackageView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        let id = one.app_d_id.as_ref().unwrap_or(&one.id);
        [
            id.as_str().into(),
            one.name.as_str().into(),
            dash_if_empty(one.version.clone()).into(),
            package_state(one),
            if one.in_use { "yes" } else { "no" }.into(),
            one.size.to_string().into(),
            one.signer.clone().unwrap_or_else(|| "-".to_owned()).into(),
        ]
    });
    let heading = [
        "PACKAGE",
        "NAME",
        "VERSION",
        "STATE",
        "IN USE",
        "SIZE",
        "SIGNED BY",
    ];
    table(heading, rows.collect(), look.color)
}

fn package_state(one: &PackageView) -> Cell {
    match (&one.failure, one.onboarding_state.as_str()) {
        (Some(_), _) => Cell::toned("refused", Tone::Bad),
        (None, "ONBOARDED") if one.enabled => Cell::toned("enabled", Tone::Good),
        (None, "ONBOARDED") => "disabled".into(),
        (None, other) => Cell::toned(other.to_ascii_lowercase(), Tone::Busy),
    }
}

/// What `package install` ends with: ready for the next command.
pub(crate) fn installed(one: &PackageView) -> String {
    format!("{}\n", one.app_d_id.as_ref().unwrap_or(&one.id))
}

pub(crate) fn signers(list: &[SignerView], look: Look) -> String {
    let rows = list
        .iter()
        .map(|one| [one.name.as_str().into(), one.fingerprints.join(", ").into()]);
    table(["NAME", "SHA-256"], rows.collect(), look.color)
}

pub(crate) fn stats(list: &[StatsView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        [
            one.name.as_str().into(),
            one.cpu.map_or("-".to_owned(), share).into(),
            share(one.cpu_limit).into(),
            span(one.cpu_us / 1_000_000).into(),
            format!("{} / {}", one.memory, one.memory_limit).into(),
            format!("{} / {}", one.pids, one.pids_limit).into(),
        ]
    });
    let heading = ["NAME", "CPU", "CPU LIMIT", "CPU TIME", "MEMORY", "PIDS"];
    table(heading, rows.collect(), look.color)
}

pub(crate) fn log_line(line: &LogLine, timestamps: bool) -> String {
    if timestamps {
        format!("{} {}\n", timestamp(line.time), line.text)
    } else {
        format!("{}\n", line.text)
    }
}

pub(crate) fn error(error: &PlatformError, look: Look) -> String {
    let label = paint("error:", Tone::Bad, look.color);
    match &error.hint {
        Some(hint) => format!("{label} {}\n  hint: {hint}\n", error.message),
        None => format!("{label} {}\n", error.message),
    }
}

/// A state in words, with what belongs to it.
pub(crate) fn state(state: &InstanceState) -> String {
    match state {
        InstanceState::BackOff { retry_ms, .. } => {
            format!("{state}, again in {}", span(retry_ms.div_ceil(1000)))
        }
        other => other.to_string(),
    }
}

fn tone(state: &InstanceState) -> Tone {
    match state {
        InstanceState::Ready => Tone::Good,
        InstanceState::Starting
        | InstanceState::Waiting { .. }
        | InstanceState::Unready
        | InstanceState::Stopping => Tone::Busy,
        InstanceState::Stopped => Tone::Plain,
        InstanceState::Ended { code } if *code == edged_model::ExitCode::Code(0) => Tone::Plain,
        InstanceState::Ended { .. } | InstanceState::BackOff { .. } => Tone::Bad,
    }
}

fn ports(ports: &[PublishedPort]) -> String {
    let one = |port: &PublishedPort| match port.protocol {
        Protocol::Tcp => format!("{}:{}", port.host, port.container),
        Protocol::Udp => format!("{}:{}/udp", port.host, port.container),
    };
    dash_if_empty(ports.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn digest(text: &str) -> String {
    text.chars().take(DIGEST_SHOWN).collect()
}

fn dash_if_empty(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
