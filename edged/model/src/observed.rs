//! What the world shows of an instance, facet by facet.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCode {
    /// It returned this.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
    /// The kernel ended it for want of memory.
    OutOfMemory,
    /// Nobody was there to see (the worker was restarted): not invented.
    Unknown,
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The container's own state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "container")]
pub enum ContainerState {
    /// There is none.
    #[default]
    Absent,
    /// Made; its program has not been started.
    Created,
    /// Runs.
    Running {
        /// Process id of its init on the host.
        pid: u32,
        /// Unix milliseconds of its start.
        since: u64,
    },
    /// Told to stop; still there.
    Stopping,
    /// Ended, not yet deleted.
    Exited {
        /// How.
        code: ExitCode,
    },
}

/// Everything seen of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // independent facts of independent parts, each true or not
pub struct Observed {
    /// Layers of the image that are not unpacked yet, lowest first.
    pub missing_layers: Vec<crate::Digest>,
    /// The firewall in force contains exactly its policy.
    pub policy: bool,
    /// Its account and role on the broker are as they should be; `None` when the broker cannot be asked.
    pub account: Option<bool>,
    /// Its container.
    pub container: ContainerState,
    /// Its link exists on the host and leads into the container.
    pub link: bool,
    /// The readiness probe says yes (or there is none and it runs).
    pub ready: bool,
    /// Its names are in the zone and its entry in the registry.
    pub announced: bool,
    /// Somebody asked for another start of an ended container, whatever its restart policy.
    pub again: bool,
    /// Applications it depends on that are not ready.
    pub waits_for: Option<crate::AppName>,
}
