//! A box of ours.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use board_forge::DebianRoot;
use board_node::port::free_port;
use board_qemu::{Changes, Folder, Forward, Guest, MOMENTS, Monitor, Outcome, Parts};

use super::{Boot, LONGEST, page};
use crate::client::until;
use crate::image::maker;

/// Moments that figures are made of (`board_qemu::MOMENTS`).
pub const KERNEL: &str = "kernel";
/// The same.
pub const EDGED: &str = "edged";
/// Moments before these are the firmware's own, and not asked for.
const SHOWN: [&str; 4] = ["U-Boot", KERNEL, "umec-init", EDGED];

/// A box with the application on it, switched off.
#[derive(Debug)]
pub struct Deployed {
    parts: Parts,
    folder: Folder,
    changes: Changes,
    /// Where its page is.
    pub here: u16,
    /// Seconds that its very first start took.
    pub first: f64,
}

impl Deployed {
    /// Starts a new box, makes it somebody's, runs the application on it, and switches it off.
    pub fn make(root: &DebianRoot, parts: Parts, archive: &Path) -> anyhow::Result<Self> {
        let folder = Folder::open(None)?;
        folder.furnish(&parts)?;
        let here = free_port()?;
        let changes = Changes {
            forwards: vec![Forward {
                here,
                there: page::PUBLISHED,
            }],
            once: true,
            ..Changes::default()
        };
        let (mut guest, _) = start(root, &folder, &changes)?;
        let first = at(&guest, EDGED).context("edged does not say that it is ready")?;
        guest.commission(&parts.commissioning)?;
        let door = guest.door()?;
        let archive = page::signed(archive);
        door.told(&["trust", "keys", "add", "maker"], Some(&maker(&archive)))?;
        door.told(&["load"], Some(&archive))?;
        let publish = format!("{}:{}", page::PUBLISHED, page::PORT);
        let words = ["run", "--name", "page", "--publish", &publish, page::IMAGE];
        door.told(&words, None)?;
        page::wait(here, LONGEST)?;
        door.told(&["poweroff"], None)?;
        until(LONGEST, || Ok(guest.machine.is_off()?.then_some(())))?;
        drop(guest);
        Ok(Self {
            parts,
            folder,
            changes,
            here,
            first: first.as_secs_f64(),
        })
    }

    /// One power-on.
    pub fn boot(&self, root: &DebianRoot) -> anyhow::Result<Boot> {
        let (guest, power_on) = start(root, &self.folder, &self.changes)?;
        let page = page::wait(self.here, LONGEST)?.duration_since(power_on);
        let memory = page::memory(self.here)?;
        let stages = SHOWN.iter().filter_map(|stage| {
            let at = at(&guest, stage)?;
            Some((*stage, at.as_secs_f64()))
        });
        let moments = stages.chain([(page::MOMENT, page.as_secs_f64())]).collect();
        guest.machine.cut()?;
        Ok(Boot { moments, memory })
    }

    /// A copy of the box that may be changed, and how it is started: it starts again by itself after a reset.
    pub fn copy(&self) -> anyhow::Result<(Folder, Changes)> {
        let copy = Folder::open(None)?;
        self.folder.copy_to(&copy)?;
        let changes = Changes {
            once: false,
            ..self.changes.clone()
        };
        Ok((copy, changes))
    }

    /// One power-on that is looked at from its first page on.
    pub fn rest<T>(
        &self,
        root: &DebianRoot,
        look: impl FnOnce(&mut Monitor) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let changes = Changes {
            arguments: Monitor::arguments(),
            ..self.changes.clone()
        };
        let (guest, _) = start(root, &self.folder, &changes)?;
        page::wait(self.here, LONGEST)?;
        let seen = look(&mut Monitor::open(&self.folder)?)?;
        guest.machine.cut()?;
        Ok(seen)
    }

    /// Megabytes of the signed file.
    pub fn image(&self) -> anyhow::Result<f64> {
        super::megabytes(fs::metadata(&self.parts.image.uki)?.len())
    }
}

/// A box that serves, and when it was switched on.
pub fn start<'a>(
    root: &DebianRoot,
    folder: &'a Folder,
    changes: &Changes,
) -> anyhow::Result<(Guest<'a>, Instant)> {
    let guest = Guest::start(root, folder, changes)?;
    // The console's clock begins with QEMU; its first line has just come.
    let lines = guest.machine.console.lines();
    let since = lines.first().map(|line| line.at).unwrap_or_default();
    let now = Instant::now();
    let power_on = now.checked_sub(since).unwrap_or(now);
    match guest.outcome(&|| false)? {
        Outcome::Ready => Ok((guest, power_on)),
        Outcome::Refused(stage) => bail!("{stage} refuses it"),
        Outcome::Stopped => bail!("it was stopped"),
    }
}

/// When a stage spoke for the first time.
fn at(guest: &Guest<'_>, stage: &str) -> Option<Duration> {
    let (_, words) = MOMENTS.iter().find(|(name, _)| *name == stage)?;
    let lines = guest.machine.console.lines();
    let line = lines.iter().find(|line| line.text.contains(words))?;
    Some(line.at)
}
