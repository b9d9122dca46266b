//! Programs run to their end.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Lines of a failed program's output that are repeated.
const TAIL: usize = 25;
/// Longest command line in a message.
const SHOWN: usize = 300;

/// How a command looks in a message: shortened, as what leads into a root is long and not the point.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let inside = words
        .iter()
        .rposition(|word| word == crate::root::INSIDE)
        .map_or(0, |place| place + 1);
    let text = words.get(inside..).unwrap_or_default().join(" ");
    text.chars().take(SHOWN).collect()
}

/// Runs a command; what it writes is shown only when it fails, its end alone.
///
/// # Errors
/// It cannot be run, or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = shown(command);
    let mut log = tempfile::tempfile()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    log.seek(SeekFrom::Start(0))?;
    log.read_to_end(&mut text)?;
    if let Some(folder) = std::env::var_os("UMEC_KEEP_LOGS") {
        fs::write(
            std::path::Path::new(&folder).join("failed-command.log"),
            &text,
        )?;
    }
    bail!(
        "{name} ended with {status}:\n{}",
        tail(&String::from_utf8_lossy(&text))
    )
}

/// Runs a command whose standard output is wanted.
///
/// # Errors
/// It cannot be run, or fails, or does not write text.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = shown(command);
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !result.status.success() {
        let text = if result.stderr.is_empty() {
            &result.stdout
        } else {
            &result.stderr
        };
        bail!(
            "{name} ended with {}:\n{}",
            result.status,
            tail(&String::from_utf8_lossy(text))
        );
    }
    String::from_utf8(result.stdout).with_context(|| format!("{name} did not write text"))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_the_end_of_what_the_program_wrote() {
        let error = run(Command::new("sh").args(["-c", "seq 100; echo because >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("because") && error.contains("100"),
            "{error}"
        );
        assert!(!error.contains("\n50\n"), "{error}");
    }
}
