//! The command line of `cargo board`.

use std::process::ExitCode;

use board::{bench, check, demo, generate, host};
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
    /// Show the main job on real input: registry, image, application, sensors, name, page, and a killed edged.
    Demo(demo::Options),
    /// Install what is missing, check form and lints, run every test.
    Test(check::Options),
    /// Write the code of mec-api/ and the documents that it serves from openapi/.
    Generate(generate::Options),
    /// Measure in release build, beside what others take for the same.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Host(options) => host::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => check::run(&options),
        Verb::Generate(options) => generate::run(&options),
        Verb::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board: {error:#}");
            ExitCode::FAILURE
        }
    }
}
