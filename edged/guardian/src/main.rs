//! `edged-guardian --config FILE [serve|purge]`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use edged_config::{Config, ConfigError};
use edged_guardian::guardian::{Guardian, GuardianError};
use edged_guardian::privilege::{self, PrivilegeError};
use edged_guardian::server::{Server, ServerError};
use sd_notify::NotifyState;

/// How it is called.
const USAGE: &str = "usage: edged-guardian --config FILE [serve|purge]";

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{USAGE}")]
    Usage,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    Guardian(#[from] GuardianError),
    #[error(transparent)]
    Server(#[from] ServerError),
}

enum Task {
    Serve,
    Purge,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (path, task) = arguments(std::env::args_os().skip(1)).ok_or(Failure::Usage)?;
    let config = Config::read(&path)?;
    match task {
        Task::Purge => {
            privilege::keep_net_admin()?;
            Ok(Guardian::new(&config)?.purge()?)
        }
        Task::Serve => {
            // Before the rights go: giving the socket to edged's user is one of them.
            let server = Server::bind(&config.node.guardian_socket(), config.node.uid)?;
            privilege::keep_net_admin()?;
            let mut guardian = Guardian::new(&config)?;
            guardian.settle()?;
            tell(NotifyState::Ready);
            // Half of what systemd allows, as sd_watchdog_enabled(3) advises.
            let pulse: Option<Duration> = sd_notify::watchdog_enabled().map(|limit| limit / 2);
            Ok(server.serve(&mut guardian, pulse, || {
                if pulse.is_some() {
                    tell(NotifyState::Watchdog);
                }
            })?)
        }
    }
}

fn tell(state: NotifyState<'_>) {
    // Without systemd there is nobody to tell, and that is no error.
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd was not told");
    }
}

fn arguments(mut words: impl Iterator<Item = std::ffi::OsString>) -> Option<(PathBuf, Task)> {
    let mut config = None;
    let mut task = Task::Serve;
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--config" => config = Some(PathBuf::from(words.next()?)),
            "serve" => task = Task::Serve,
            "purge" => task = Task::Purge,
            _ => return None,
        }
    }
    Some((config?, task))
}
