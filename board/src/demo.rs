//! `cargo board demo`: the main job on real input, each step in one line with its time.
//!
//! On this machine ([`host`]), or in a box of its own from the root of trust on ([`qemu`]). A step that does not show
//! what it has to show ends the demo with its reason.

mod host;
mod page;
mod qemu;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::client::until;
use crate::install::{self, Consent};
use page::Page;

/// The application's name on the node.
const APP: &str = "sensor-page";
/// Its port.
const PORT: u16 = 8080;
/// What its image and its container are called by.
const NAME: &str = "sensor-page.app.edge.mec.internal";
/// What the sensors say.
const READINGS: [(&str, &str); 3] = [
    ("sensors/hall-1/temperature", "21.5"),
    ("sensors/hall-1/humidity", "44"),
    ("sensors/gate/open", "false"),
];

/// Where the demo takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// This machine.
    Host,
    /// A box in QEMU, built from its sources.
    QemuAarch64,
}

/// What the demo may do.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where: on this machine, or in a box of its own.
    #[arg(long, value_enum, default_value = "host")]
    pub board: Board,
    /// Missing packages.
    #[command(flatten)]
    pub consent: Consent,
}

/// Shows the main job; an error names the step and the reason.
pub fn run(options: &Options) -> anyhow::Result<()> {
    match options.board {
        Board::Host => {
            install::ensure(
                options.consent,
                &[
                    install::BUILD,
                    install::HOST,
                    install::DEMO,
                    install::REGISTRY,
                ],
            )?;
            host::run()
        }
        Board::QemuAarch64 => {
            install::ensure(
                options.consent,
                &[
                    install::FORGE,
                    board_qemu::NEEDS,
                    install::ENCLOSE,
                    install::DEMO,
                ],
            )?;
            qemu::run()
        }
    }
}

/// Publishes until the page shows everything: the application may still be about to subscribe.
fn heard(
    longest: Duration,
    page: &Page,
    publish: impl Fn(&str, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    until(longest, || {
        for (topic, value) in READINGS {
            publish(topic, value)?;
        }
        let shown = page.readings()?;
        let all = READINGS
            .iter()
            .all(|(topic, value)| page::value(&shown, topic) == Some(value));
        Ok(all.then_some(()))
    })
}

fn step<T>(name: &str, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    match act() {
        Ok(value) => {
            println!("✓ {name} … {:.2} s", begun.elapsed().as_secs_f64());
            Ok(value)
        }
        Err(error) => {
            println!("✗ {name} … {:.2} s", begun.elapsed().as_secs_f64());
            Err(error.context(format!("step failed: {name}")))
        }
    }
}

/// A folder that goes when the demo goes.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("board-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("board: cannot remove {}: {error}", self.0.display());
        }
    }
}
