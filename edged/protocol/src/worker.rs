//! What edged may ask of the worker: layers and containers.

use std::collections::BTreeMap;

use edged_model::{ContainerState, Digest, ExitCode, InstanceId, Lease, Limits};
use serde::{Deserialize, Serialize};

use crate::{Refusal, Secret};

/// Pieces of output of one exec that may be under way to a client that has not said it took them: 3 MiB at 48 KiB a
/// piece. The worker then leaves the rest in the pipe, and the command waits, as it would at any slow terminal.
pub const EXEC_WINDOW: u32 = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "command",
    content = "data",
    rename_all = "kebab-case",
    deny_unknown_fields
)]
pub enum Command {
    /// What is there?
    Observe {},
    /// Unpack a layer of the content store; answers `done` when it is whole and durable. Idempotent.
    UnpackLayer(LayerSource),
    /// Delete an unpacked layer that no container uses. Idempotent.
    RemoveLayer {
        /// Digest of its uncompressed content.
        diff_id: Digest,
    },
    /// Make a container, its program not started, its network namespace pinned.
    Create(Box<ContainerSpec>),
    /// Set up the inside of its network and start its program.
    Start {
        /// Which.
        instance: InstanceId,
        /// Addresses and gateway of its side of the link.
        network: ContainerNetwork,
    },
    /// Send a signal, and SIGKILL after the grace; answers at once, `exited` follows.
    Stop {
        /// Which.
        instance: InstanceId,
        /// signal(7) number.
        signal: i32,
        /// Until SIGKILL, milliseconds.
        grace_ms: u32,
    },
    /// Delete an ended or never started container with its mounts, cgroup and namespace. Idempotent.
    Delete {
        /// Which.
        instance: InstanceId,
    },
    /// Run a command inside. Answers with an [`Reply::ExecStarted`]; output and end come as events.
    Exec {
        /// Where.
        instance: InstanceId,
        /// Program and arguments.
        command: Vec<String>,
        /// Whether input will come.
        input: bool,
    },
    /// Bytes for a running exec's standard input; `end` closes it.
    ExecInput {
        /// Which exec.
        exec: u64,
        /// Base64.
        bytes: String,
        /// No more will come.
        end: bool,
    },
    /// Pieces of output were passed on: as many more may come. Harmless after the end.
    ExecTaken {
        /// Which exec.
        exec: u64,
        /// How many pieces.
        pieces: u32,
    },
    /// End a running exec, as when its terminal has gone.
    ExecKill {
        /// Which exec.
        exec: u64,
    },
    /// Kept log lines after a position.
    ReadLog {
        /// Whose.
        instance: InstanceId,
        /// Sequence number of the last line already seen; 0 from the oldest kept.
        after: u64,
        /// Only this many last ones.
        tail: Option<u32>,
    },
    /// Send [`Event::Logged`] for an instance from now on, or no more.
    WatchLog {
        /// Whose.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// What a container uses.
    Stats {
        /// Whose.
        instance: InstanceId,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", content = "data", rename_all = "kebab-case")]
pub enum Reply {
    /// It is done: the kernel has it.
    Done {},
    /// What is there.
    Observed {
        /// Which cgroup layout was found.
        cgroups: CgroupLayout,
        /// Layers that are whole.
        layers: Vec<Digest>,
        /// Containers and their states.
        containers: BTreeMap<InstanceId, ContainerState>,
    },
    /// The exec runs.
    ExecStarted {
        /// Its number on this connection.
        exec: u64,
    },
    /// Log lines, oldest first; an empty list: nothing newer.
    Log {
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// What a container uses.
    Stats(Stats),
    /// It was not done.
    Refused(Refusal),
}

/// What the worker tells unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "data", rename_all = "kebab-case")]
pub enum Event {
    /// A container's init has ended.
    Exited {
        /// Whose.
        instance: InstanceId,
        /// How.
        code: ExitCode,
    },
    /// A watched container wrote a line.
    Logged {
        /// Whose.
        instance: InstanceId,
        /// What.
        line: LogLine,
    },
    /// An exec wrote.
    ExecOutput {
        /// Which exec.
        exec: u64,
        /// Where.
        stream: Stream,
        /// Base64.
        bytes: String,
    },
    /// An exec has ended and all its output was sent.
    ExecEnded {
        /// Which exec.
        exec: u64,
        /// How.
        code: ExitCode,
    },
}

/// A layer: where it is in the content store and what it must turn out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSource {
    /// Digest of the blob as it is stored.
    pub blob: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
    /// Media type of the descriptor.
    pub media_type: String,
    /// Digest of the uncompressed content.
    pub diff_id: Digest,
}

/// A container, whole: nothing is looked up elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// Whose.
    pub instance: InstanceId,
    /// Host name inside.
    pub hostname: String,
    /// Unpacked layers, lowest first.
    pub layers: Vec<Digest>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub working_dir: String,
    /// The image's `User` (`name`, `uid`, `uid:gid`, …), resolved against the image's own files.
    pub user: String,
    /// Limits in force.
    pub limits: Limits,
    /// Whether the root takes writes.
    pub writable: bool,
    /// First id of the 65,536 host ids of its user namespace.
    pub first_uid: u32,
    /// Text of /etc/resolv.conf.
    pub resolv_conf: String,
    /// Text of /etc/hosts.
    pub hosts: String,
    /// Files of /run/secrets (a tmpfs only the container's user can read), by name.
    pub secrets: BTreeMap<String, Secret>,
}

/// The inside end of the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerNetwork {
    /// Its addresses.
    pub lease: Lease,
    /// The gateway, reached on the link itself.
    pub gateway_v4: std::net::Ipv4Addr,
    /// The gateway for IPv6.
    pub gateway_v6: std::net::Ipv6Addr,
}

/// Which cgroup layout the kernel offers (cgroups(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupLayout {
    /// Controllers on version 1 alone.
    V1,
    /// Controllers on version 1 beside an empty version 2.
    Hybrid,
    /// Version 2.
    V2,
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up by one a line, from 1.
    pub seq: u64,
    /// Unix milliseconds of its arrival.
    pub time: u64,
    /// Where it was written.
    pub stream: Stream,
    /// Without its newline; what is not UTF-8 is replaced.
    pub text: String,
}

/// What a container uses now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time used so far, microseconds.
    pub cpu_us: u64,
    /// Memory in use, bytes.
    pub memory: u64,
    /// Memory limit, bytes.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
}
