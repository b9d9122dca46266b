//! What the guest says of its tests.

use std::collections::BTreeSet;

/// Begins every line that is meant for the host.
const MARK: &str = "GUEST: ";

/// Tests that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names of the tests that passed, with their program.
    pub passed: BTreeSet<String>,
    /// Names of those that did not.
    pub failed: BTreeSet<String>,
    /// Programs that ended otherwise than their tests say: a crash, or no program of that name.
    pub broken: BTreeSet<String>,
    /// What failed tests wrote.
    pub told: Vec<String>,
    /// The guest came to its end.
    pub done: bool,
    program: String,
}

/// News of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The kernel runs and tests begin; its release.
    Begun(String),
    /// A test ended.
    Test {
        /// Its name.
        name: String,
        /// Whether it passed.
        passed: bool,
    },
    /// Nothing that has to be shown.
    Nothing,
}

impl Outcome {
    /// Takes a line of the console.
    pub fn take(&mut self, line: &str) -> News {
        let Some((_, said)) = line.split_once(MARK) else {
            return News::Nothing;
        };
        if let Some(release) = said.strip_prefix("begun ") {
            return News::Begun(release.to_owned());
        }
        if let Some(program) = said.strip_prefix("program ") {
            program.clone_into(&mut self.program);
            return News::Nothing;
        }
        if let Some(end) = said.strip_prefix("ended ") {
            // libtest's own code where a test failed is 101.
            if !matches!(end.rsplit_once(' '), Some((_, "0" | "101"))) {
                self.broken.insert(end.to_owned());
            }
            return News::Nothing;
        }
        if said == "done" {
            self.done = true;
            return News::Nothing;
        }
        if let Some((name, result)) = said
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        {
            let name = format!("{} {name}", self.program);
            let passed = result.trim() == "ok";
            let set = if passed {
                &mut self.passed
            } else {
                &mut self.failed
            };
            set.insert(name.clone());
            return News::Test { name, passed };
        }
        self.told.push(said.to_owned());
        News::Nothing
    }

    /// Whether every test passed, and some did.
    pub fn good(&self) -> bool {
        self.done && self.failed.is_empty() && self.broken.is_empty() && !self.passed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[    1.2] kernel speaking\nGUEST: begun 6.12.107-umec\nGUEST: program a\nGUEST: \nGUEST: running 1 test\n\
        GUEST: test x::works ... ok\nGUEST: ended a 0\nGUEST: done\n";

    fn read(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        for line in text.lines() {
            outcome.take(line);
        }
        outcome
    }

    #[test]
    fn a_run_is_good_only_with_its_end_and_without_failures() {
        let outcome = read(GOOD);
        assert!(outcome.good());
        assert_eq!(outcome.passed, BTreeSet::from(["a x::works".to_owned()]));
        assert!(!read(&GOOD.replace("GUEST: done", "")).good(), "cut off");
        assert!(!read(&GOOD.replace("ok", "FAILED")).good());
        assert!(
            !read(&GOOD.replace("ended a 0", "ended a 139")).good(),
            "a crash"
        );
        assert!(
            !read(&GOOD.replace("test x", "not x")).good(),
            "no test ran"
        );
    }

    #[test]
    fn a_line_that_the_kernel_broke_into_still_counts() {
        let mut outcome = Outcome::default();
        let news = outcome.take("[ 3.1] random: crng doneGUEST: test b ... FAILED");
        assert!(matches!(news, News::Test { passed: false, .. }));
    }
}
