//! `cargo board test`: everything that has to pass, and a count at the end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use board_forge::Cache;

use crate::install::{self, Consent};
use crate::{process, python, workspace};

/// Tells black-box tests where the built programs are.
pub const PROGRAMS: &str = "BOARD_PROGRAMS";
/// Tells black-box tests where the static sample application is.
pub const SENSOR_PAGE: &str = "BOARD_SENSOR_PAGE";
/// Set where campaigns run at their whole size.
pub const FULL: &str = "BOARD_FULL";

/// What is tested.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Run campaigns at their whole size instead of a small, seeded one; build the box, boot it and tamper with it, and
    /// run the spine's tests in the guest.
    #[arg(long)]
    pub full: bool,
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
    if options.full {
        needs.extend([install::FORGE, board_qemu::NEEDS]);
    }
    install::ensure(options.consent, &needs)?;
    python::ensure(options.consent)?;
    let begun = Instant::now();
    let mut count = Count::default();
    count.take("format", cargo_tool("fmt", &["--all", "--check"])?);
    let lints = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    count.take("lints", cargo_tool("clippy", &lints)?);
    // Everything in one selection: cargo then builds every dependency with one set of features, once.
    process::passed_through(workspace::cargo().args(["build", "--workspace", "--all-targets"]))
        .context("the workspace does not build")?;
    let sensor_page = workspace::build_static("sensor-page")?;
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
    count.run(&mut tests(&["--workspace", "--no-fail-fast"]))?;
    if options.full {
        // Made here, where its progress is seen.
        board_qemu::Parts::build(&Cache::open()?).context("the box does not build")?;
        count.run(&mut tests(&["--package", "umec-tests", "--test", "boot"]))?;
        count.guest(&board_guest::test(&board_guest::Options::default())?);
    }
    println!(
        "\n{} passed, {} failed, {} ignored, in {:.0} s",
        count.passed,
        count.failed,
        count.ignored,
        begun.elapsed().as_secs_f64()
    );
    for part in &count.failures {
        println!("  failed: {part}");
    }
    if !count.failures.is_empty() {
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

#[derive(Debug, Default)]
struct Count {
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
}

impl Count {
    fn take(&mut self, part: &str, passed: Option<bool>) {
        match passed {
            Some(true) => self.passed += 1,
            Some(false) => {
                self.failed += 1;
                self.failures.push(part.to_owned());
            }
            None => self.ignored += 1,
        }
    }

    /// Runs `cargo test`, shows what it writes and counts its results.
    fn run(&mut self, tests: &mut Command) -> anyhow::Result<()> {
        let mut child = tests
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo test")?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                println!("{line}");
                self.line(&line);
            }
        }
        let status = child.wait()?;
        if !status.success() && self.failed == 0 {
            self.failures
                .push(format!("cargo test ended with {status}"));
        }
        Ok(())
    }

    /// Takes the results of the spine's tests in the guest.
    fn guest(&mut self, outcome: &board_guest::Outcome) {
        let number = |names: &BTreeSet<String>| u32::try_from(names.len()).unwrap_or(u32::MAX);
        self.passed += number(&outcome.passed);
        self.failed += number(&outcome.failed);
        let failures = outcome.failed.union(&outcome.broken);
        self.failures
            .extend(failures.map(|name| format!("in the guest: {name}")));
        if !outcome.good() && self.failures.is_empty() {
            self.failures
                .push("the guest did not come to its end".to_owned());
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(test) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(test.to_owned());
        }
        // `test result: ok. 3 passed; 0 failed; 1 ignored; …`
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u32>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                (Some(number), Some("ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up_and_failures_are_named() {
        let mut count = Count::default();
        for line in [
            "test a::works ... ok",
            "test a::breaks ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
        ] {
            count.line(line);
        }
        assert_eq!((count.passed, count.failed, count.ignored), (5, 1, 2));
        assert_eq!(count.failures, ["a::breaks"]);
    }
}
