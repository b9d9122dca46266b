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
pub use selection::{LEFT_OUT, ON_REQUEST};

use machine::Guest;
use outcome::News;
use selection::job;

/// Longest run of all tests: five times what they take on two cores.
const LONGEST: Duration = Duration::from_secs(2400);
/// Lines that are shown when something went wrong: several failed tests with their reasons.
const TAIL: usize = 200;

/// What `cargo board guest-test` is asked for.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Tests whose name contains one of these; all where left out
    names: Vec<String>,
    /// Also the tests that take minutes more and ask nothing else of the kernel
    #[arg(long)]
    all: bool,
    /// A kernel (arm64 Image) instead of the box's own
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Show everything that the guest says
    #[arg(long)]
    console: bool,
}

/// Runs tests in the guest, shows each as it ends, and what came of all.
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
    for name in &outcome.failed {
        println!("  failed: {name}");
    }
    for end in &outcome.broken {
        println!("  program and its exit status: {end}");
    }
    for (name, why) in ON_REQUEST.iter().filter(|_| !options.all) {
        println!("  with --all: {name}: {why}");
    }
    for (name, why) in LEFT_OUT {
        println!("  left to the machine's own tests: {name}: {why}");
    }
    if !outcome.good() {
        bail!("not everything passed in the guest; what the tests said is above");
    }
    Ok(())
}

/// The same for `cargo board test`: what passed and what failed, of a run that came to its end.
///
/// # Errors
/// Something cannot be built, or the guest does not come to its end.
pub fn test(options: &Options) -> anyhow::Result<Outcome> {
    let cache = Cache::open()?;
    let root = tools(&cache)?;
    let kernel = match &options.kernel {
        Some(kernel) => kernel.canonicalize()?,
        None => board_kernel::build(&cache)?.image,
    };
    let tests = board_cross::black_box(&cache)?;
    let system = userspace::make(&cache, &root, &tests)?;
    let folder = tempfile::tempdir()?;
    let guest = Guest::start(
        &root,
        &kernel,
        &system.join(userspace::FILE),
        &job(&tests.tests, options.all, &options.names),
        folder.path(),
        LONGEST,
    )?;
    let (outcome, console) = follow(guest, options.console);
    let outcome = match outcome {
        Ok(outcome) if outcome.done => outcome,
        end => {
            show(&console);
            end?;
            bail!("the guest ended before its tests did: its last words are above");
        }
    };
    if !outcome.good() {
        show(&outcome.told);
    }
    Ok(outcome)
}

/// Shows tests as they end; what came of them, and every line of the console.
fn follow(mut guest: Guest, whole: bool) -> (anyhow::Result<Outcome>, Vec<String>) {
    let begun = Instant::now();
    let mut last = begun;
    let mut outcome = Outcome::default();
    let mut console = Vec::new();
    loop {
        let line = match guest.line() {
            Ok(Some(line)) => line,
            Ok(None) => return (Ok(outcome), console),
            Err(error) => {
                let why = "the tests in the guest did not come to their end";
                return (Err(error.context(why)), console);
            }
        };
        if whole {
            eprintln!("{line}");
        }
        match outcome.take(&line) {
            News::Begun(release) => println!(
                "  Linux {release} runs after {:.1} s",
                begun.elapsed().as_secs_f32()
            ),
            News::Test { name, passed } => {
                let word = if passed { "passed" } else { "FAILED" };
                println!("  {word} {:>6.1} s  {name}", last.elapsed().as_secs_f32());
                last = Instant::now();
            }
            News::Nothing => {}
        }
        console.push(line);
    }
}

fn show(lines: &[String]) {
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
        eprintln!("  | {line}");
    }
}
