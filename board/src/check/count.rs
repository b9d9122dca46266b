//! What passed, what failed, what was left out, and how long each part took.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

#[derive(Debug)]
pub(super) struct Count {
    begun: Instant,
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
    parts: Vec<(&'static str, Duration)>,
}

impl Count {
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            passed: 0,
            failed: 0,
            ignored: 0,
            failures: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Does a part and remembers how long it took.
    pub(super) fn part<T>(
        &mut self,
        name: &'static str,
        act: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        let made = act(self);
        self.parts.push((name, begun.elapsed()));
        made
    }

    pub(super) fn good(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn report(&self) {
        println!();
        for (name, took) in &self.parts {
            println!("{:>8.0} s  {name}", took.as_secs_f64());
        }
        println!(
            "\n{} passed, {} failed, {} ignored, in {:.0} s",
            self.passed,
            self.failed,
            self.ignored,
            self.begun.elapsed().as_secs_f64()
        );
        for part in &self.failures {
            println!("  failed: {part}");
        }
    }

    pub(super) fn take(&mut self, part: &str, passed: Option<bool>) {
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
    pub(super) fn run(&mut self, tests: &mut Command) -> anyhow::Result<()> {
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
    pub(super) fn guest(&mut self, outcome: &board_guest::Outcome) {
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
        let mut count = Count::begin();
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
