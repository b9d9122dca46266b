//! What has to be true of a box whenever it starts.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use board::client::until;
use board_qemu::{Changes, Folder, Guest, Outcome};
use serde_json::Value;
use umec_tests::ground::Ground;

/// Until every part of a box works after it serves: edged tries a broker that is late anew after 30 s at most.
pub const SETTLED: Duration = Duration::from_secs(90);

/// Starts a box that lost its power, and waits until it serves.
pub fn start<'a>(ground: &Ground, folder: &'a Folder) -> anyhow::Result<Guest<'a>> {
    let guest = Guest::start(&ground.root, folder, &Changes::default())?;
    match guest.outcome(&|| false)? {
        Outcome::Ready => Ok(guest),
        other => bail!("after the cut: {other:?}"),
    }
}

/// Every part of the box works.
pub fn healthy(guest: &Guest) -> anyhow::Result<()> {
    let door = guest.door()?;
    until(SETTLED, || {
        let status: Value = serde_json::from_str(&door.told(&["status", "-o", "json"], None)?)?;
        let is = |value: &Value, key: &str| value.get(key) == Some(&Value::Bool(true));
        ensure!(is(&status, "commissioned"), "nobody's: {status}");
        let parts = status.get("parts").and_then(Value::as_array);
        let parts = parts.context("no parts")?;
        let broken = parts.iter().find(|part| !is(part, "ok"));
        ensure!(broken.is_none(), "{broken:?}");
        Ok(Some(()))
    })
}

/// Keeps what the box said where the check fails.
pub fn console_is_kept_where<T>(
    folder: &Folder,
    check: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    check().map_err(|error| {
        let kept = tempfile::Builder::new()
            .prefix("umec-cut-")
            .suffix(".log")
            .tempfile()
            .and_then(|file| file.keep().map_err(Into::into));
        match kept {
            Ok((_, path)) if std::fs::copy(folder.console(), &path).is_ok() => {
                error.context(format!("the box's console is {}", path.display()))
            }
            _ => error,
        }
    })
}
