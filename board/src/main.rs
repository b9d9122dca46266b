//! The command line of `cargo board`.

use std::process::ExitCode;

use board::host;
use clap::{Parser, Subcommand};

/// Everything a person does with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo board", bin_name = "cargo board", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a complete node on this machine, print one line of JSON, and run until SIGTERM.
    Host(host::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Host(options) => host::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board: {error:#}");
            ExitCode::FAILURE
        }
    }
}
