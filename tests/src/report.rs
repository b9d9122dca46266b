//! What passed and what did not, as libtest writes it, so that `cargo board test` counts it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

/// The results so far.
#[derive(Debug)]
pub struct Report {
    begun: Instant,
    /// Name of the target, and words of which one is in each name of its tests.
    target: &'static str,
    words: &'static [&'static str],
    /// What a name must contain, where `cargo test` was given a word.
    wanted: Option<String>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    passed: u32,
    failed: Vec<String>,
    skipped: u32,
    /// What could not be made, for tests that nobody asked for.
    broken: Vec<String>,
}

impl Report {
    /// Nothing yet. Options of libtest are passed over; a word chooses tests, as there. `words`: one of them is in the
    /// name of each test of this target.
    pub fn begin(target: &'static str, words: &'static [&'static str]) -> Self {
        let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
        Self {
            begun: Instant::now(),
            target,
            words,
            wanted,
            counts: Mutex::default(),
        }
    }

    /// Whether no test of this target was asked for. A word of `cargo test` goes to every target of the workspace.
    pub fn skips_everything(&self) -> bool {
        self.wanted.as_ref().is_some_and(|word| {
            word != self.target && !self.words.iter().any(|part| word.contains(part))
        })
    }

    /// Whether a test was asked for.
    pub fn wants(&self, name: &str) -> bool {
        let wanted = self.wanted.as_deref().filter(|word| *word != self.target);
        wanted.is_none_or(|word| name.contains(word))
    }

    /// Says that what several tests need could not be made. Where a word chose other tests, that may be because it left out
    /// what these begin with: it is no failure unless nothing at all ran.
    pub fn broken(&self, name: &str, error: &anyhow::Error) {
        if self.wants(name) {
            self.failed(name, error);
        } else {
            eprintln!("{name}: {error:#}");
            self.counts().broken.push(name.to_owned());
        }
    }

    fn failed(&self, name: &str, error: &anyhow::Error) {
        eprintln!("{name}: {error:#}");
        println!("test {name} ... FAILED");
        self.counts().failed.push(name.to_owned());
    }

    /// Runs a test and writes its line; a sentence about the box is its name.
    pub fn case(&self, name: &str, test: impl FnOnce() -> anyhow::Result<()>) -> bool {
        if !self.wants(name) {
            self.counts().skipped += 1;
            return true;
        }
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(test))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked; the reason is above")));
        match result {
            Ok(()) => {
                println!("test {name} ... ok");
                self.counts().passed += 1;
                eprintln!("    in {:.1} s", begun.elapsed().as_secs_f64());
                true
            }
            Err(error) => {
                self.failed(name, &error);
                false
            }
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last line, and whether everything passed.
    pub fn end(self) -> ExitCode {
        let mut counts = self.counts();
        if counts.passed == 0 && counts.failed.is_empty() {
            let broken = std::mem::take(&mut counts.broken);
            counts.failed = broken;
        }
        let (word, code) = if counts.failed.is_empty() {
            ("ok", ExitCode::SUCCESS)
        } else {
            ("FAILED", ExitCode::FAILURE)
        };
        println!(
            "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
            counts.passed,
            counts.failed.len(),
            counts.skipped,
            self.begun.elapsed().as_secs_f64()
        );
        code
    }
}

/// Runs a test whose name is its function's.
#[macro_export]
macro_rules! case {
    ($report:expr, $module:ident :: $name:ident ( $($word:expr),* )) => {
        $report.case(stringify!($name), || $module::$name($($word),*))
    };
    ($report:expr, $name:ident ( $($word:expr),* )) => {
        $report.case(stringify!($name), || $name($($word),*))
    };
}
