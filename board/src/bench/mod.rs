//! `cargo board bench`: what it costs, beside what others take for the same.
//!
//! For: figures that a person can believe. Every measure has its peers, which run in the same minute on the same
//! machine, by turns, so that what disturbs one disturbs all; the table says on what machine and how busy it was.
//! Refuses: to guess. A peer that does not work here has its reason in the table instead of a number.
//!
//! Invariants: everything a measure starts ends with it; what it makes in the kernel is gone when it ends.

mod boot;
mod cgroups;
mod containers;
mod dns;
mod engine;
mod http;
mod machine;
mod mec;
mod memory;
mod peers;
mod report;
mod running;
mod sample;
mod scratch;
mod shell;
mod start;
mod trust;
mod unpack;
mod usage;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;

use crate::install::{self, Consent};
use crate::workspace;
use machine::Machine;
use report::{Measure, Report};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Create, start and end of a container.
    Containers,
    /// From `run` to the first answer over HTTP.
    Run,
    /// Pull and unpack of a large layer.
    Unpack,
    /// Memory and processor time at rest.
    Memory,
    /// Start of edged to ready.
    Start,
    /// Names.
    Dns,
    /// The MEC interfaces.
    Mec,
    /// Power-on of a box in QEMU to its first page, its image, and its memory at rest.
    Boot,
    /// What a box in QEMU writes to its disk at rest.
    Flash,
    /// An update of a box in QEMU, and its way back.
    Update,
    /// Quotes, secrets and signatures of a TPM.
    Trust,
}

impl Name {
    /// Whether it measures boxes alone, which have programs of their own.
    fn is_of_boxes(self) -> bool {
        matches!(self, Self::Boot | Self::Flash | Self::Update)
    }
}

/// How figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Only these; everything where left out.
    #[arg(value_enum)]
    pub names: Vec<Name>,
    /// Rounds; each measure has its own number where left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// How to show the figures.
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    /// Use the programs in this folder instead of building them.
    #[arg(long, hide = true)]
    pub programs: Option<PathBuf>,
    /// Missing packages.
    #[command(flatten)]
    pub consent: Consent,
}

/// What a measure may use.
#[derive(Debug)]
struct Means {
    /// Built programs, `board` among them.
    programs: PathBuf,
    /// Asked for on the command line.
    rounds: Option<u32>,
}

impl Means {
    fn rounds(&self, usual: u32) -> u32 {
        self.rounds.unwrap_or(usual)
    }
}

/// Measures and shows; an error names the measure and the reason.
pub fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "containers are measured: run this as root"
    );
    let names = if options.names.is_empty() {
        Name::value_variants()
    } else {
        &options.names
    };
    install::ensure(options.consent, &needs(names))?;
    let programs = match &options.programs {
        Some(folder) => folder
            .canonicalize()
            .with_context(|| format!("cannot open {}", folder.display()))?,
        // A box has programs of its own.
        None if names.iter().all(|name| name.is_of_boxes()) => PathBuf::new(),
        None => build()?,
    };
    let means = Means {
        programs,
        rounds: options.rounds,
    };
    let before = Machine::look()?;
    let mut measures = Vec::new();
    for name in names {
        let label = format!("{name:?}").to_lowercase();
        eprintln!("board: measuring {label}");
        measures.extend(measure(*name, &means).with_context(|| format!("bench {label}"))?);
    }
    let report = Report {
        load_after: machine::load()?,
        machine: before,
        measures,
    };
    match options.output {
        Format::Table => print!("{report}"),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}

fn needs(names: &[Name]) -> Vec<&'static [install::Need]> {
    let mut needs = Vec::new();
    if !names.iter().all(|name| name.is_of_boxes()) {
        needs.extend([install::BUILD, install::HOST, install::REGISTRY]);
        needs.extend([install::TEST, install::BENCH]);
    }
    if names.iter().any(|name| name.is_of_boxes()) {
        needs.extend([install::FORGE, board_qemu::NEEDS, install::ENCLOSE]);
    }
    needs.push(install::DEMO);
    needs
}

fn measure(name: Name, means: &Means) -> anyhow::Result<Vec<Measure>> {
    let one = match name {
        Name::Containers => containers::measure(means),
        Name::Run => running::measure(means),
        Name::Unpack => unpack::measure(means),
        Name::Memory => memory::measure(means),
        Name::Start => start::measure(means),
        Name::Dns => dns::measure(means),
        Name::Mec => return mec::measures(means),
        Name::Boot => return boot::measures(means),
        Name::Flash => boot::flash::measure(means),
        Name::Update => boot::update::measure(means),
        Name::Trust => trust::measure(means),
    };
    one.map(|measure| vec![measure])
}

/// Programs as they ship but for the slow link, the resolver as a program of its own, and bare handlers.
fn build() -> anyhow::Result<PathBuf> {
    let programs = workspace::build(workspace::Profile::Release)?;
    for (package, example) in [
        ("edged-dns", dns::SERVER),
        ("board", mec::SERVER),
        trust::ASKER,
        trust::VERIFIER,
    ] {
        let mut command = workspace::cargo();
        command.args(["build", "--release", "--package", package]);
        command.args(["--example", example]);
        crate::process::passed_through(&mut command)?;
    }
    Ok(programs)
}
