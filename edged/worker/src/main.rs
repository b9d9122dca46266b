//! edged-worker runs containers: layers, libcontainer, exec.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edged_config::Config;
use edged_worker::worker::Worker;
use tracing_subscriber::EnvFilter;

/// Runs containers for edged.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file that edged, its worker and its guardian share.
    #[arg(long)]
    config: PathBuf,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until SIGTERM; containers go on running (the default).
    Serve,
    /// End and remove every container, and whatever else the worker made but unpacked layers.
    Purge,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,libcontainer=error,libcgroups=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::read(&arguments.config)?;
    match arguments.verb {
        None | Some(Verb::Serve) => Worker::start(config.node)?.run()?,
        Some(Verb::Purge) => edged_worker::purge(&config.node)?,
    }
    Ok(())
}
