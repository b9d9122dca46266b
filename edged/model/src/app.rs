//! An application as it was asked for, and as it is wanted on this box.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AppName, Bytes, Digest, EnvName, ImageReference, InstanceId, MilliCpus, Protocol,
    PublishedPort, Rules, ServiceName, TopicFilter,
};

/// What a container may use of the box. Every field has a default: no application is unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Memory, bytes; reaching it ends the container (out of memory).
    pub memory: Bytes,
    /// Processor share.
    pub cpus: MilliCpus,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // Small boxes have 1 GiB: four applications of the default size leave room for the platform.
        Self {
            memory: Bytes(128 << 20),
            cpus: MilliCpus(1000),
            pids: 256,
        }
    }
}

/// Whom the application may talk to. The default is edged's own addresses and nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Network {
    /// Ports of the box that lead here.
    pub publish: Vec<PublishedPort>,
    /// Applications that this one may open connections to.
    pub reach: Vec<AppName>,
    /// Whether it may leave the box through the uplink (NAT), names included.
    pub egress: bool,
}

/// What the application may do on the bus beyond its own space `apps/INSTANCE/#`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Mqtt {
    /// Filters it may subscribe to.
    pub subscribe: Vec<TopicFilter>,
}

/// A service that exists while the instance is ready: DNS-SD and the service registry show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// The name it is found by.
    pub name: ServiceName,
    /// The port it answers on, in the container.
    pub port: u16,
    /// Which protocol.
    pub protocol: Protocol,
}

/// How to ask a container whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeKind {
    /// GET answers 2xx or 3xx.
    Http {
        /// In the container.
        port: u16,
        /// Absolute path.
        path: String,
    },
    /// A connection opens.
    Tcp {
        /// In the container.
        port: u16,
    },
    /// A command in the container ends with 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// A probe and its pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// Milliseconds between two questions.
    pub interval_ms: u32,
    /// Milliseconds one answer may take.
    pub timeout_ms: u32,
    /// Failures in a row that make the verdict.
    pub failures: u32,
}

/// Which probes an application has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Probes {
    /// Decides about a restart.
    pub liveness: Option<Probe>,
    /// Decides about the name and the registry entry; without it a started instance is ready.
    pub readiness: Option<Probe>,
    /// Whether it is ready only once it said so itself (MEC 011, `confirm_ready`), each time its container starts.
    pub confirm: bool,
}

/// What happens when the container ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Start it again, however it ended.
    #[default]
    Always,
    /// Start it again unless it ended with 0.
    OnFailure,
    /// Leave it.
    Never,
}

/// How to stop the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StopPolicy {
    /// Signal number (signal(7)); the image's own `StopSignal` wins where this is absent.
    pub signal: Option<i32>,
    /// Time between the signal and SIGKILL, in milliseconds.
    pub grace_ms: u32,
}

impl Default for StopPolicy {
    fn default() -> Self {
        // Docker's ten seconds: what images are written against.
        Self {
            signal: None,
            grace_ms: 10_000,
        }
    }
}

impl StopPolicy {
    /// The time between the signal and SIGKILL.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(u64::from(self.grace_ms))
    }
}

/// An application as somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSpec {
    /// Unique on the box; `NAME.app.ZONE` leads here.
    pub name: AppName,
    /// Where the image comes from.
    pub image: ImageReference,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command where not empty.
    #[serde(default)]
    pub args: Vec<String>,
    /// Added to the image's environment.
    #[serde(default)]
    pub env: BTreeMap<EnvName, String>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether the root file system takes writes (kept in memory, gone with the container).
    #[serde(default)]
    pub writable: bool,
    /// Whom it may talk to.
    #[serde(default)]
    pub network: Network,
    /// What it may hear on the bus.
    #[serde(default)]
    pub mqtt: Mqtt,
    /// What it offers.
    #[serde(default)]
    pub services: Vec<ServiceSpec>,
    /// How its health is asked.
    #[serde(default)]
    pub probes: Probes,
    /// What happens when it ends.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How it is stopped.
    #[serde(default)]
    pub stop: StopPolicy,
    /// Applications that must be ready before this one starts.
    #[serde(default)]
    pub depends_on: Vec<AppName>,
}

/// The image an instance runs, fixed when the instance was made: a tag that moves changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedImage {
    /// Digest of the manifest of this platform.
    pub manifest: Digest,
    /// The layers' digests of uncompressed content, lowest first.
    pub layers: Vec<Digest>,
}

/// What is wanted of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// It serves.
    Running,
    /// It exists and does not run.
    Stopped,
    /// Nothing of it is left; the row goes when that is so.
    Removed,
}

/// An application wanted on this box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppInstance {
    /// MEC 011 `appInstanceId`.
    pub id: InstanceId,
    /// What was asked for.
    pub spec: AppSpec,
    /// What runs.
    pub image: PinnedImage,
    /// What is wanted now.
    pub goal: Goal,
    /// Its place in the network, held from creation to removal.
    pub lease: crate::LeaseNumber,
    /// Its traffic and DNS rules: in force while it is ready.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// Unix seconds.
    pub created: u64,
}
