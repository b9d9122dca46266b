//! `cargo board test`: everything that has to pass, and a count at the end.

mod count;

use std::process::Stdio;

use anyhow::{Context, bail};
use board_forge::Cache;

use crate::install::{self, Consent};
use crate::{process, python, workspace};
use count::Count;

/// Tells black-box tests where the built programs are.
pub const PROGRAMS: &str = "BOARD_PROGRAMS";
/// Tells black-box tests where the static sample application is.
pub const SENSOR_PAGE: &str = "BOARD_SENSOR_PAGE";
/// Set where campaigns run at their whole size.
pub const FULL: &str = "BOARD_FULL";

/// What is tested.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Run campaigns at their whole size instead of a small, seeded one, and the spine's tests in the guest.
    #[arg(long)]
    pub full: bool,
    /// Leave out the box: build no firmware, kernel and image, boot nothing.
    #[arg(long, conflicts_with = "full")]
    pub no_box: bool,
    /// Missing packages.
    #[command(flatten)]
    pub consent: Consent,
}

/// Checks form, lints and tests.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut needs = vec![
        install::BUILD,
        install::HOST,
        install::DEMO,
        install::REGISTRY,
        install::TEST,
    ];
    if !options.no_box {
        needs.extend([install::FORGE, board_qemu::NEEDS]);
    }
    let mut count = Count::begin();
    count.part("packages", |_| {
        install::ensure(options.consent, &needs)?;
        python::ensure(options.consent)
    })?;
    count.part("format", |count| {
        count.take("format", cargo_tool("fmt", &["--all", "--check"])?);
        Ok(())
    })?;
    count.part("lints", |count| {
        let lints = ["--workspace", "--all-targets", "--", "-D", "warnings"];
        count.take("lints", cargo_tool("clippy", &lints)?);
        Ok(())
    })?;
    let sensor_page = count.part("build", |_| {
        // Everything in one selection: cargo then builds every dependency with one set of features, once.
        process::passed_through(workspace::cargo().args(["build", "--workspace", "--all-targets"]))
            .context("the workspace does not build")?;
        workspace::build_static("sensor-page")
    })?;
    let tests = |words: &[&str]| {
        let mut tests = workspace::cargo();
        tests
            .arg("test")
            .args(words)
            // A failed test says why in a sentence; a stack of the test harness says nothing.
            .env("RUST_BACKTRACE", "0")
            .env(PROGRAMS, workspace::target().join("debug"))
            .env(SENSOR_PAGE, &sensor_page);
        if options.full {
            tests.env(FULL, "1");
        }
        tests
    };
    count.part("tests on this machine", |count| {
        count.run(&mut tests(&["--workspace", "--no-fail-fast"]))
    })?;
    if !options.no_box {
        // Made here, where its progress is seen.
        count.part("building the box", |_| {
            board_qemu::Parts::build(&Cache::open()?).context("the box does not build")
        })?;
        count.part("tests of the box", |count| {
            count.run(&mut tests(&["--package", "umec-tests", "--test", "boot"]))
        })?;
    }
    if options.full {
        count.part("tests in the guest", |count| {
            count.guest(&board_guest::test(&board_guest::Options::default())?);
            Ok(())
        })?;
    }
    count.report();
    if !count.good() {
        bail!("not everything passed");
    }
    Ok(())
}

/// Runs one of cargo's tools; `None` where this installation of Rust does not have it.
fn cargo_tool(tool: &str, arguments: &[&str]) -> anyhow::Result<Option<bool>> {
    let there = workspace::cargo()
        .args([tool, "--version"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run cargo {tool}"))?;
    if !there.status.success() {
        println!("cargo {tool} is not installed: skipped (rustup component add rustfmt clippy)");
        return Ok(None);
    }
    let status = workspace::cargo()
        .arg(tool)
        .args(arguments)
        .stdin(Stdio::null())
        .status()?;
    Ok(Some(status.success()))
}
