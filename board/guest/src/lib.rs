//! `cargo board guest-test`: the container tests on aarch64, under the box's own kernel, with cgroup v2 alone.
//!
//! The machine that builds has other cgroups, another kernel and another architecture than a box. So the black-box tests
//! of the runtime and the worker's own tests are compiled for aarch64 and run once more in an emulated machine with the
//! box's kernel: as root, with a real registry, broker and the usual tools around them, and the programs of the image
//! under test. Refused: a run that does not come to its end, or in which no test ran.

mod machine;
mod outcome;
mod selection;
mod userspace;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use board_forge::{Cache, tools};

pub use outcome::Outcome;
pub use selection::LEFT_OUT;

use machine::Guest;
use outcome::News;

/// Longest run of all tests.
const LONGEST: Duration = Duration::from_secs(3600);
/// Lines of the console that are shown when something went wrong.
const TAIL: usize = 60;

/// What `cargo board guest-test` is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Tests whose name contains one of these; all where left out
    names: Vec<String>,
    /// A kernel (arm64 Image) instead of the box's own
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Show everything that the guest says
    #[arg(long)]
    console: bool,
}

/// Runs tests in the guest and shows each as it ends.
///
/// # Errors
/// Something cannot be built, the guest does not come to its end, or a test fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let outcome = test(options)?;
    println!(
        "\n{} passed, {} failed in the guest, in {:.0} s",
        outcome.passed.len(),
        outcome.failed.len(),
        begun.elapsed().as_secs_f64()
    );
    for (name, why) in LEFT_OUT {
        println!("  left out: {name}: {why}");
    }
    Ok(())
}

/// The same for `cargo board test`: what passed.
///
/// # Errors
/// As [`run`].
pub fn test(options: &Options) -> anyhow::Result<Outcome> {
    let cache = Cache::open()?;
    let root = tools(&cache)?;
    let kernel = match &options.kernel {
        Some(kernel) => kernel.canonicalize()?,
        None => board_kernel::build(&cache)?.image,
    };
    let tests = board_cross::black_box(&cache)?;
    let system = userspace::make(&cache, &root, &tests)?;
    let programs: Vec<String> = tests.tests.iter().map(|test| test.name.clone()).collect();
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut guest = Guest::start(
        &root,
        &kernel,
        &system.join(userspace::FILE),
        &selection::job(&programs, &options.names),
        folder.path(),
        LONGEST,
    )?;
    let mut outcome = Outcome::default();
    let mut console = Vec::new();
    let mut last = begun;
    let end = loop {
        let line = match guest.line() {
            Ok(Some(line)) => line,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        if options.console {
            eprintln!("{line}");
        }
        match outcome.take(&line) {
            News::Begun(release) => eprintln!(
                "  Linux {release} runs after {:.1} s",
                begun.elapsed().as_secs_f32()
            ),
            News::Test { name, passed } => {
                let word = if passed { "passed" } else { "FAILED" };
                eprintln!("  {word} {:>6.1} s  {name}", last.elapsed().as_secs_f32());
                last = Instant::now();
            }
            News::Nothing => {}
        }
        console.push(line);
    };
    if outcome.good() && end.is_none() {
        return Ok(outcome);
    }
    let from = if outcome.done {
        outcome.told.clone()
    } else {
        console
    };
    for line in from.iter().skip(from.len().saturating_sub(TAIL)) {
        eprintln!("  | {line}");
    }
    if let Some(error) = end {
        return Err(error.context("the tests in the guest did not come to their end"));
    }
    if !outcome.done {
        bail!("the guest ended before its tests did: its last words are above");
    }
    let names = |set: &std::collections::BTreeSet<String>| {
        set.iter().cloned().collect::<Vec<_>>().join(", ")
    };
    bail!(
        "in the guest, {} tests passed and these did not: {}",
        outcome.passed.len(),
        [names(&outcome.failed), names(&outcome.broken)].join(" ")
    )
}
