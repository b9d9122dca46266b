//! Who may change what starts, and when.
//!
//! The keeper keeps no record of an update: what B has to hold is what the signed bundle says, each time anew. It leaves
//! two marks. `trial` on the data partition says that B was armed; PID 1 resets a box that was started from B while it is
//! there. `confirmed` in /run says that A and B have changed places in this boot.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use edged_protocol::Refusal;
use edged_protocol::slot::{Command, Image, Reply, Slot, Slots as View};

use crate::error::SlotError;
use crate::medium::Medium;
use crate::slots::Slots;
use crate::staged::Bundles;

/// The TPM's counter of releases.
pub trait Counts {
    /// The lowest release that starts; `None`: nobody counts here.
    ///
    /// # Errors
    /// One sentence.
    fn floor(&mut self) -> Result<Option<u64>, String>;

    /// Raises it, and says what it is now.
    ///
    /// # Errors
    /// One sentence.
    fn raise(&mut self, to: u64) -> Result<u64, String>;
}

/// What is known of this boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// By which entry it was started.
    pub booted: Slot,
    /// Number of the running image.
    pub release: u64,
    /// The mark of a trial.
    pub trial: PathBuf,
    /// The mark that A and B have changed places.
    pub confirmed: PathBuf,
}

/// Carries out commands.
#[derive(Debug)]
pub struct Keeper<M, B, C> {
    slots: Slots<M>,
    bundles: B,
    counter: C,
    boot: Boot,
}

/// Why not, for whoever asked.
struct Why(String);

impl From<SlotError> for Why {
    fn from(error: SlotError) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Why {
    fn from(sentence: String) -> Self {
        Self(sentence)
    }
}

impl From<&str> for Why {
    fn from(sentence: &str) -> Self {
        Self(sentence.to_owned())
    }
}

impl<M: Medium + Copy, B: Bundles, C: Counts> Keeper<M, B, C> {
    /// Of this boot.
    pub fn new(slots: Slots<M>, bundles: B, counter: C, boot: Boot) -> Self {
        Self {
            slots,
            bundles,
            counter,
            boot,
        }
    }

    /// Carries a command out.
    pub fn answer(&mut self, command: &Command) -> Reply {
        let done = match command {
            Command::Look {} => self.look().map(Reply::Looked),
            Command::Hash { slot } => self.slots.hash(*slot).map(Reply::Hashed).map_err(Why::from),
            Command::Write {} => self.write().map(Reply::Hashed),
            Command::Arm {} => self.arm().map(|()| Reply::Done {}),
            Command::Disarm {} => self.disarm().map(|()| Reply::Done {}),
            Command::Exchange {} => self.exchange().map(|()| Reply::Done {}),
            Command::Mirror { from } => self.mirror(*from).map(Reply::Hashed),
            Command::Raise {} => self.raise().map(|floor| Reply::Raised { floor }),
        };
        done.unwrap_or_else(|Why(sentence)| {
            Reply::Refused(Refusal {
                sentence,
                transient: false,
            })
        })
    }

    /// Where the image that runs lies.
    fn running(&self) -> Slot {
        if self.boot.confirmed.exists() {
            self.boot.booted.other()
        } else {
            self.boot.booted
        }
    }

    fn look(&mut self) -> Result<View, Why> {
        Ok(View {
            booted: self.boot.booted,
            running: self.running(),
            release: self.boot.release,
            a: self.slots.size(Slot::A),
            b: self.slots.size(Slot::B),
            room: self.slots.room(Slot::A).min(self.slots.room(Slot::B)),
            armed: self.slots.next()? == Some(Slot::B),
            trial: self.boot.trial.exists(),
            floor: self.counter.floor()?,
        })
    }

    fn needs_a(&self) -> Result<(), Why> {
        match self.running() {
            Slot::A => Ok(()),
            Slot::B => Err(Why::from(
                "slot B holds what runs: A was refused, or this is a trial; let A be what runs first",
            )),
        }
    }

    /// The newest release that is known to have been good here.
    fn known(&mut self) -> Result<u64, Why> {
        let floor = self.counter.floor()?;
        Ok(floor.unwrap_or_default().max(self.boot.release))
    }

    fn write(&mut self) -> Result<Image, Why> {
        self.needs_a()?;
        let known = self.known()?;
        // Nothing that is being overwritten must be started.
        self.slots.set_next(None)?;
        let mut staged = self.bundles.open(known, self.slots.room(Slot::B))?;
        let written = self
            .slots
            .put(Slot::B, staged.image.size, &mut staged.bytes)?;
        if written == staged.image {
            Ok(written)
        } else {
            Err(Why::from(SlotError::ReadBack(Slot::B)))
        }
    }

    fn arm(&mut self) -> Result<(), Why> {
        self.needs_a()?;
        let known = self.known()?;
        let staged = self.bundles.open(known, self.slots.room(Slot::B))?;
        self.holds(Slot::B, &staged.image)?;
        mark(&self.boot.trial).map_err(|error| of(&self.boot.trial, &error))?;
        Ok(self.slots.set_next(Some(Slot::B))?)
    }

    fn disarm(&mut self) -> Result<(), Why> {
        self.slots.set_next(None)?;
        unmark(&self.boot.trial).map_err(|error| of(&self.boot.trial, &error))
    }

    fn exchange(&mut self) -> Result<(), Why> {
        if self.boot.booted != Slot::B {
            return Err(Why::from(
                "slot B was not started: there is nothing to confirm",
            ));
        }
        if !self.boot.confirmed.exists() {
            let before = self.boot.release.saturating_sub(1);
            let staged = self.bundles.open(before, self.slots.room(Slot::B))?;
            if staged.release != self.boot.release {
                return Err(Why(format!(
                    "the staged bundle is release {} and release {} runs",
                    staged.release, self.boot.release
                )));
            }
            // Who was stopped between the two marks finds it done.
            if self.slots.hash(Slot::A)? != staged.image {
                self.holds(Slot::B, &staged.image)?;
                self.slots.exchange()?;
            }
            mark(&self.boot.confirmed).map_err(|error| of(&self.boot.confirmed, &error))?;
        }
        unmark(&self.boot.trial).map_err(|error| of(&self.boot.trial, &error))
    }

    fn mirror(&mut self, from: Slot) -> Result<Image, Why> {
        if from != self.running() {
            return Err(Why(format!("slot {from} does not hold what runs")));
        }
        Ok(self.slots.mirror(from)?)
    }

    /// From B only where A is the same image: then it is no trial, and nothing older is left that should start.
    fn raise(&mut self) -> Result<u64, Why> {
        if self.running() == Slot::B && self.slots.hash(Slot::A)? != self.slots.hash(Slot::B)? {
            return Err(Why::from(
                "slot A holds another image than what runs from B: copy what runs first, or let A be what runs",
            ));
        }
        Ok(self.counter.raise(self.boot.release)?)
    }

    fn holds(&self, slot: Slot, image: &Image) -> Result<(), Why> {
        if self.slots.hash(slot)? == *image {
            Ok(())
        } else {
            Err(Why(format!(
                "slot {slot} does not hold the image of the staged bundle: write it first"
            )))
        }
    }
}

fn of(path: &Path, error: &io::Error) -> Why {
    Why(format!("cannot change {}: {error}", path.display()))
}

/// Durable: an empty file needs no room but its name's.
fn mark(path: &Path) -> io::Result<()> {
    File::create(path)?;
    sync_folder(path)
}

fn unmark(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
