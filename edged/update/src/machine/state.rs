//! What is recorded.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BootId;
use crate::{Before, Release};

/// Starts of a new image that end without a word before it is given up: two of them may be the power.
pub const ATTEMPTS: u8 = 3;

/// How far an update has come.
///
/// The release before reads what the one after has written here: variants and fields are only ever added, and those that
/// are not known are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Nothing is under way.
    Idle {
        /// How the last one ended.
        last: Option<Last>,
    },
    /// The bundle is here, whole and verified.
    Staged {
        /// Which.
        update: Update,
        /// How the box was when it came: one that was cut off in the writing has just started, and is less. A record of
        /// a release that did not keep it yet has nothing here.
        #[serde(default)]
        before: Before,
    },
    /// Slot B holds it; it will be tried.
    Written {
        /// Which.
        update: Update,
        /// How the box was.
        before: Before,
    },
    /// It is tried.
    Trying {
        /// Which.
        update: Update,
        /// How the box was.
        before: Before,
        /// The attempt, from 1.
        attempt: u8,
        /// The start of the box in which this attempt was decided on: in any other one it was made.
        boot: BootId,
    },
    /// It is given up.
    RollingBack {
        /// Which.
        update: Update,
        /// Why.
        why: String,
        /// How often the box was started anew to leave it.
        restarts: u8,
        /// The start in which that was decided on last.
        boot: BootId,
    },
    /// It starts by itself now; its copy and the counter are to follow.
    Settling {
        /// Which.
        update: Update,
        /// Why it was kept although its trial failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<String>,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Idle { last: None }
    }
}

/// An update under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Its number.
    pub release: Release,
    /// Its version.
    pub version: String,
    /// The number of the release that it takes the place of.
    pub from: Release,
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Which.
    pub update: Update,
    /// How.
    pub outcome: Outcome,
    /// Unix seconds.
    pub at: u64,
}

/// How an update ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is what starts.
    Confirmed,
    /// What was before is what starts.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Its trial failed, and what was before does not start any more.
    Kept {
        /// Why it failed.
        why: String,
    },
}

impl State {
    /// The update that is under way.
    pub fn update(&self) -> Option<&Update> {
        match self {
            Self::Idle { .. } => None,
            Self::Staged { update, .. }
            | Self::Written { update, .. }
            | Self::Trying { update, .. }
            | Self::RollingBack { update, .. }
            | Self::Settling { update, .. } => Some(update),
        }
    }

    /// How the box was before, where that counts.
    pub fn before(&self) -> Option<&Before> {
        match self {
            Self::Written { before, .. } | Self::Trying { before, .. } => Some(before),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle { .. } => formatter.write_str("idle"),
            Self::Staged { .. } => formatter.write_str("staged"),
            Self::Written { .. } => formatter.write_str("written"),
            Self::Trying { attempt, .. } => write!(formatter, "trial {attempt} of {ATTEMPTS}"),
            Self::RollingBack { .. } => formatter.write_str("rolling back"),
            Self::Settling { .. } => formatter.write_str("settling"),
        }
    }
}
