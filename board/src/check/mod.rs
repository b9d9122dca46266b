//! `cargo board test`: everything that has to pass, and a count at the end.

mod count;

use std::process::{Child, Command, Stdio};

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

/// The tests that boot the box, and that take its power, in cargo's words: of the whole workspace, so that no dependency is
/// built with other features.
const BOX: [&str; 5] = ["--workspace", "--test", "boot", "--test", "cuts"];

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
        let strict = ["--", "-D", "warnings"];
        let all = [&["--workspace", "--all-targets"][..], &strict].concat();
        count.take("lints", cargo_tool("clippy", &all)?);
        // They are no tests of `cargo test`, so no targets of "all" either.
        let of_box = [&BOX[..], &strict].concat();
        count.take("lints of the box's tests", cargo_tool("clippy", &of_box)?);
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
    // The tests here wait more than they compute: what they leave of the processors builds the box.
    let beside = (!options.no_box).then(ahead).transpose()?;
    count.part("tests on this machine", |count| {
        count.run(&mut tests(&["--workspace", "--no-fail-fast"]))
    })?;
    if !options.no_box {
        count.part("building the box, to its end", |_| {
            if let Some(mut beside) = beside {
                // What went wrong in it is said by the next line.
                beside.wait()?;
            }
            board_qemu::Parts::build(&Cache::open()?).context("the box does not build")
        })?;
        count.part("tests of the box", |count| {
            count.run(tests(&BOX).arg("--no-fail-fast"))
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

/// Begins to build the box into the cache, behind everything else that wants a processor. It ends when this process does.
fn ahead() -> anyhow::Result<Child> {
    // Not the program that runs: what the workspace was built with since then lies in its place.
    let board = workspace::target().join("debug/board");
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "nice", "-n", "19"])
        .arg(board)
        .args(["image", "--output"])
        .arg(workspace::target().join("umec-image"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run setpriv")
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
