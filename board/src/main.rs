//! The command line of `cargo board`.

use std::process::ExitCode;

use board::install::{self, Consent, Need};
use board::{bench, check, demo, generate, host, update};
use clap::{Args, Parser, Subcommand};

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
    /// Show the main job on real input, on this machine or in a box: image, application, sensors, name, page, and what a
    /// killed edged or a cut of the power leaves.
    Demo(demo::Options),
    /// Install what is missing, check form and lints, run every test.
    Test(check::Options),
    /// Write the code of mec-api/ and the documents that it serves from openapi/.
    Generate(generate::Options),
    /// Measure in release build, beside what others take for the same.
    Bench(bench::Options),
    /// Make, show, change and revoke the keys of the boot chain.
    Keys(Asked<board_keys::Options>),
    /// Build TF-A, OP-TEE and U-Boot from Debian's sources.
    Firmware(Asked<board_firmware::Options>),
    /// Build the one kernel of every board.
    Kernel(Asked<board_kernel::Options>),
    /// Compile the programs of a box for aarch64.
    Cross(Asked<board_cross::Options>),
    /// Make the signed image of a box, with its bill of materials and what the TPM will hold.
    Image(Asked<board_image::Options>),
    /// Make an image and a signed bundle of it, which a running box takes with `edgectl update install FILE`.
    Update(Asked<update::Options>),
    /// Start a box in QEMU through the whole chain, print one line of JSON, and run until SIGTERM.
    Qemu(Asked<board_qemu::Options>),
    /// Run the tests of the spine inside QEMU: aarch64, the box's kernel, cgroup version 2.
    GuestTest(Asked<board_guest::Options>),
}

/// What is asked for, and whether missing packages may be installed for it.
#[derive(Debug, Args)]
struct Asked<O: Args> {
    #[command(flatten)]
    options: O,
    #[command(flatten)]
    consent: Consent,
}

impl<O: Args> Asked<O> {
    /// Sees to the machine, then does it.
    fn run(&self, needs: &[&[Need]], act: fn(&O) -> anyhow::Result<()>) -> anyhow::Result<()> {
        install::ensure(self.consent, needs)?;
        act(&self.options)
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Host(options) => host::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => check::run(&options),
        Verb::Generate(options) => generate::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Keys(asked) => asked.run(&[install::FORGE], board_keys::run),
        Verb::Firmware(asked) => asked.run(&[install::FORGE], board_firmware::run),
        Verb::Kernel(asked) => asked.run(&[install::FORGE], board_kernel::run),
        Verb::Cross(asked) => asked.run(&[install::FORGE], board_cross::run),
        Verb::Image(asked) => asked.run(&[install::FORGE], board_image::run),
        Verb::Update(asked) => asked.run(&[install::FORGE], update::run),
        Verb::Qemu(asked) => asked.run(&[install::FORGE, board_qemu::NEEDS], board_qemu::run),
        Verb::GuestTest(asked) => asked.run(&[install::FORGE], board_guest::run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board: {error:#}");
            ExitCode::FAILURE
        }
    }
}
