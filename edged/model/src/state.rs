//! The states of an instance: one enum for the plan, the API, the console and the events.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum InstanceState {
    /// Wanted; its facets are being made.
    Starting,
    /// Waits for another application to be ready.
    Waiting {
        /// The first one it waits for.
        on: crate::AppName,
    },
    /// Runs, and its readiness probe has not said yes.
    Unready,
    /// Runs, is named and registered.
    Ready,
    /// Is being stopped or removed.
    Stopping,
    /// Does not run, as wanted.
    Stopped,
    /// Ended by itself, and the policy leaves it so.
    Ended {
        /// How.
        code: crate::ExitCode,
    },
    /// A step failed or it keeps ending; tried again later.
    BackOff {
        /// One sentence.
        reason: String,
        /// Milliseconds until the next try.
        retry_ms: u64,
    },
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.pad("starting"),
            Self::Waiting { on } => write!(f, "waiting for {on}"),
            Self::Unready => f.pad("unready"),
            Self::Ready => f.pad("ready"),
            Self::Stopping => f.pad("stopping"),
            Self::Stopped => f.pad("stopped"),
            Self::Ended { code } => write!(f, "ended ({code})"),
            Self::BackOff { .. } => f.pad("back-off"),
        }
    }
}
