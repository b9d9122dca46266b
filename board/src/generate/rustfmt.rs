//! Text as the style of the repository has it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Whether rustfmt is installed.
pub fn is_installed() -> bool {
    let answer = Command::new("rustfmt").arg("--version").output();
    answer.is_ok_and(|answer| answer.status.success())
}

/// The text as rustfmt writes it.
pub fn formatted(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("rustfmt");
    command
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.context("rustfmt does not start: install it with `rustup component add rustfmt`")?;
    let mut stdin = child.stdin.take().context("rustfmt takes no input")?;
    // It reads everything before it writes anything, so neither waits for the other.
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("what was generated is not Rust, which is a fault of the generator: {error}");
    }
    Ok(String::from_utf8(output.stdout)?)
}
