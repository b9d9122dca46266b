//! What a restarted worker must know of a container and cannot see: one small file, replaced atomically.
//!
//! It lives beneath RUN, which a reboot clears together with every container, so it is never synced.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_model::{Digest, ExitCode};
use edged_protocol::worker::ContainerSpec;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::container::user::Identity;
use crate::place::Place;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Half made; a restarted worker removes it.
    Creating,
    /// Made, its program waits.
    Created,
    /// Its program runs since this Unix millisecond.
    Running(u64),
    /// It ended.
    Exited(ExitCode),
}

/// A container on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Tells one specification from another (secrets included, unreadable).
    pub spec: u64,
    /// Layers in use.
    pub layers: Vec<Digest>,
    /// Memory limit, bytes.
    pub memory: u64,
    /// Its init.
    pub init: Option<Process>,
    /// Its phase.
    pub phase: Phase,
    /// What its program runs as; an exec runs as the same.
    pub identity: Option<Identity>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Absolute.
    pub working_dir: String,
}

/// A process that cannot be taken for another one that got its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number on the host.
    pub pid: i32,
    /// Clock ticks from boot to its start (proc(5), `starttime`).
    pub start: u64,
}

impl Process {
    /// The process of that number, if there is one now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may itself hold spaces and parentheses; what follows the last one does not.
        let (_, rest) = stat.rsplit_once(") ")?;
        let ticks = rest.split(' ').nth(19)?.parse().ok()?;
        Some(Self { pid, start: ticks })
    }

    /// Whether it is still there.
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

impl Record {
    /// The record of a container about to be made.
    pub fn new(spec: &ContainerSpec) -> Self {
        Self {
            spec: fingerprint(spec),
            layers: spec.layers.clone(),
            memory: spec.limits.memory.0,
            init: None,
            phase: Phase::Creating,
            identity: None,
            env: Vec::new(),
            working_dir: spec.working_dir.clone(),
        }
    }

    /// Reads the record of a place; `None` when there is none that can be understood.
    pub fn read(place: &Place) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.record()).ok()?).ok()
    }

    /// Replaces the record of a place.
    pub fn write(&self, place: &Place) -> Result<(), Error> {
        let path = place.record();
        let fresh = place.dir.join("record.new");
        let bytes =
            serde_json::to_vec(self).map_err(Error::runtime("write the container's record"))?;
        fs::write(&fresh, bytes).map_err(Error::path("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(Error::path("replace", &path))
    }
}

/// Two specifications with the same number are the same one. Not a digest: nobody chooses both of them to collide.
pub fn fingerprint(spec: &ContainerSpec) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    serde_json::to_vec(spec)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

/// Unix milliseconds now.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
