//! What is seen, and what is done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Release;

/// A place for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// What starts by itself.
    A,
    /// What starts once when it is armed, and where A is refused.
    B,
}

/// One start of the box, by the name that the kernel gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// By its name (`/proc/sys/kernel/random/boot_id`).
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How the slots stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Where the image that runs lies now.
    pub running: Slot,
    /// Its number.
    pub release: Release,
    /// Whether B starts next.
    pub armed: bool,
    /// Whether this start was a trial that has not ended.
    pub trial: bool,
    /// The lowest release that starts, by the TPM's counter.
    pub floor: Option<Release>,
}

/// How the box does, beside how it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// As before, for long enough.
    Good,
    /// As before, since a moment ago.
    Fresh,
    /// Not yet: what is missing.
    Missing(String),
    /// Not in the time it has: what is missing.
    Overdue(String),
}

/// What an operator wants of an update that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Confirm it as soon as the box is healthy.
    Confirm,
    /// Give it up.
    RollBack,
}

/// An action that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub action: Action,
    /// Why.
    pub why: String,
}

/// What is seen.
#[derive(Debug, Clone)]
pub struct World {
    /// Unix seconds.
    pub now: u64,
    /// This start of the box.
    pub boot: BootId,
    /// The slots.
    pub slots: Slots,
    /// How it does, beside how it was.
    pub health: Health,
    /// What the operator wants.
    pub wish: Option<Wish>,
    /// Whether B was written and read back since edged was started.
    pub written: bool,
    /// Whether B was disarmed since edged was started, and not armed again. What is left of a trial is seen in the trial
    /// alone, so this is done whether it seems needed or not.
    pub disarmed: bool,
    /// Whether both slots were made alike since edged was started.
    pub mirrored: bool,
    /// What was refused since edged was started.
    pub failed: Vec<Failure>,
}

impl World {
    /// Why an action could not be done.
    pub(super) fn refusal(&self, action: Action) -> Option<&str> {
        let failure = self.failed.iter().find(|failed| failed.action == action);
        failure.map(|failed| failed.why.as_str())
    }

    /// The action, unless it was refused.
    pub(super) fn or_wait(&self, action: Action) -> Action {
        if self.refusal(action).is_some() {
            Action::Wait
        } else {
            action
        }
    }
}

/// What to do next. Everything may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Write the staged image into B and read it back.
    Write,
    /// Let B start at the next start.
    Arm,
    /// Let A start at the next start; no trial is under way.
    Disarm,
    /// Make B the image that starts by itself.
    Exchange,
    /// Copy this slot into the other one.
    Mirror(Slot),
    /// Raise the counter to the running release.
    Raise,
    /// Start anew.
    Restart,
    /// Remove the staged bundle.
    Remove,
    /// Nothing, until something changes.
    Wait,
}
