//! The workspace: where it is and how its programs are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process;

/// The folder of the whole repository.
pub fn root() -> PathBuf {
    let board = Path::new(env!("CARGO_MANIFEST_DIR"));
    board.parent().unwrap_or(board).to_owned()
}

/// Cargo, run in the workspace: the one that started us where there is one.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The profile that programs are built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Development and tests.
    Dev,
    /// Measurements.
    Release,
}

impl Profile {
    fn cargo_name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds every program and returns their folder. Cargo's progress goes to standard error.
///
/// The whole workspace, although a node needs four of them: a smaller selection has other features of shared crates,
/// and a later build of everything would compile those once more.
pub fn build(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--workspace", "--bins"]);
    command.args(["--profile", profile.cargo_name()]);
    process::passed_through(&mut command).context("the programs of a node do not build")?;
    Ok(target().join(profile.folder()))
}

/// Builds a program of `tests/apps` without any shared library, so that it is an image by itself.
pub fn build_static(package: &str) -> anyhow::Result<PathBuf> {
    let triple = host_triple()?;
    let folder = target().join("static");
    let mut command = cargo();
    command
        .args(["build", "--package", package, "--target", &triple])
        .arg("--target-dir")
        .arg(&folder)
        // With --target, build scripts and macros are built without these flags.
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    process::passed_through(&mut command)?;
    Ok(folder.join(triple).join("debug").join(package))
}

fn host_triple() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let answer = process::output(Command::new(rustc).arg("-vV"))?;
    let host = answer.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
