//! Programs of the machine, run to their end.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// Lines of a failed program's output that are repeated: the reason is at the end.
const TAIL: usize = 12;

/// How a command looks in a message.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Runs a command whose output is wanted; a failure carries the last lines it wrote.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = shown(command);
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !result.status.success() {
        bail!("{name} ended with {}: {}", result.status, reason(&result));
    }
    String::from_utf8(result.stdout).with_context(|| format!("output of {name}"))
}

/// Runs a command that talks to the person itself, on standard error: standard output belongs to our own answer.
pub fn passed_through(command: &mut Command) -> anyhow::Result<()> {
    let name = shown(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

fn reason(result: &Output) -> String {
    let text = if result.stderr.is_empty() {
        &result.stdout
    } else {
        &result.stderr
    };
    last_lines(&String::from_utf8_lossy(text))
}

/// The end of a text.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(TAIL);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_reason_that_the_program_gave() {
        let error = output(Command::new("sh").args(["-c", "echo because >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("because") && error.contains('3'), "{error}");
    }

    #[test]
    fn only_the_last_lines_are_repeated() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        let text = lines.join("\n");
        let tail = last_lines(&text);
        assert!(
            tail.starts_with("line 88") && tail.ends_with("line 99"),
            "{tail}"
        );
    }
}
