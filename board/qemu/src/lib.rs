//! A box in QEMU: started, commissioned, used, tampered with.
//!
//! For: `cargo board qemu`, and as a library for tests, demo and measurements. The box is the real thing: the firmware
//! that board-firmware builds in the flash, the disk that board-image writes, a TPM (swtpm). It lives in a [`Folder`]
//! that keeps its flash, disk and TPM, so that the next start is a start of the same box. What it says comes through a
//! [`Console`]; whoever waits, waits for a line of it. Refuses: to look inside. What is known of a running box is what
//! its console and its ports say.
//!
//! QEMU, swtpm and mtools come from the tool root, and see the box's folder and nothing else. The one thread is the
//! console's.
//!
//! Invariants: a box ends with the value that holds it, at the latest with this process; its ports are on 127.0.0.1; a
//! chain that refuses is a success only where the stage that has to refuse did.

mod console;
mod door;
mod folder;
mod guest;
mod machine;
mod monitor;
mod parts;
mod port;
mod stage;
pub mod tamper;
mod tpm;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use board_forge::{Cache, DebianRoot, tools};
use board_node::signals::Signals;
use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, poll};

pub use console::{Console, Heard, Line};
pub use door::{Door, USER, is_refused_key};
pub use folder::Folder;
pub use guest::{BOOT, Guest, Outcome};
pub use machine::{Changes, Machine, Power};
pub use monitor::{Monitor, Written};
pub use parts::Parts;
pub use port::{Forward, Ports};
pub use stage::{HOST_KEY, MOMENTS, READY, Stage, refusal};

/// Debian packages that the machine itself needs, and why.
pub const NEEDS: &[(&str, &str)] = &[("openssh-client", "commissions a box and speaks with it")];

/// A board that QEMU can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// QEMU's `virt` machine with the whole chain.
    QemuAarch64,
}

/// What kind of box.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder of the box's flash, disk and TPM; it stays when the box ends. A temporary one where left out.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Which board.
    #[arg(long, value_enum, default_value = "qemu-aarch64")]
    pub board: Board,
    /// Another TCP port of the box that appears on 127.0.0.1; may be repeated.
    #[arg(long, value_name = "HERE:THERE")]
    pub forward: Vec<Forward>,
    /// Tamper with the box first, and show who refuses it.
    #[arg(long, value_enum)]
    pub tamper: Option<tamper::What>,
}

/// Starts a box, says where it is, and keeps it until SIGTERM or SIGINT.
///
/// # Errors
/// It does not build, does not start, or went on although it was tampered with.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let Board::QemuAarch64 = options.board;
    let cache = Cache::open()?;
    let parts = Parts::build(&cache)?;
    let root = tools(&cache)?;
    let signals = Signals::listen()?;
    let folder = Folder::open(options.dir.as_deref())?;
    folder.furnish(&parts)?;
    if let Some(what) = options.tamper {
        return tampered(what, &cache, &root, &parts, &folder, &signals);
    }
    let changes = Changes {
        forwards: options.forward.clone(),
        ..Changes::default()
    };
    serve(&root, &parts, &folder, &changes, &signals)
}

fn serve(
    root: &DebianRoot,
    parts: &Parts,
    folder: &Folder,
    changes: &Changes,
    signals: &Signals,
) -> anyhow::Result<()> {
    let mut guest = Guest::start(root, folder, changes)?;
    match guest.shown(&|| signals.stop())? {
        Outcome::Ready => {}
        Outcome::Stopped => return guest.machine.cut(),
        Outcome::Refused(stage) => bail!(
            "{stage} refuses this box; see {}",
            folder.console().display()
        ),
    }
    let line = if let Some(line) = guest.line()? {
        line
    } else {
        // Its recovery key is shown this once.
        eprint!("{}", guest.commission(&parts.commissioning)?);
        let line = guest.line()?;
        line.context("the box was commissioned and does not know its operator")?
    };
    print(&line)?;
    while !signals.stop() {
        if guest.machine.is_off()? {
            bail!(
                "the box has switched itself off; see {}",
                folder.console().display()
            );
        }
        match poll(&mut [PollFd::new(signals.woken(), PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => signals.clear(),
            Err(error) => return Err(error.into()),
        }
    }
    guest.machine.cut()
}

fn tampered(
    what: tamper::What,
    cache: &Cache,
    root: &DebianRoot,
    parts: &Parts,
    folder: &Folder,
    signals: &Signals,
) -> anyhow::Result<()> {
    let stop = || signals.stop();
    if what.needs_sealed_data() {
        eprintln!("board: a first, good start: there is nothing sealed yet");
        let guest = Guest::start(root, folder, &Changes::default())?;
        match guest.outcome(&stop)? {
            Outcome::Ready => guest.machine.cut()?,
            Outcome::Stopped => return guest.machine.cut(),
            Outcome::Refused(stage) => bail!("{stage} refuses the box before it is tampered with"),
        }
    }
    let changes = what.apply(cache, root, parts, folder)?;
    let mut refusal = tamper::refused(what, root, folder, &changes, &stop)?;
    if folder.is_temporary() {
        // What the box said is the answer: it stays when the box goes.
        let kept = tempfile::Builder::new()
            .prefix("umec-console-")
            .suffix(".log")
            .tempfile()?;
        fs::copy(&refusal.console, kept.path())?;
        refusal.console = kept.into_temp_path().keep()?;
    }
    print(&refusal)
}

/// Writes a node's line.
fn print(line: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}
