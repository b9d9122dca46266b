//! An application as it was asked for, and as it is wanted on this box.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppName, Digest, ImageReference, InstanceId, ServiceName};

/// Why a value of an application's specification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct ParseValueError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

fn refuse(what: &'static str, text: &str, rule: &'static str) -> ParseValueError {
    ParseValueError {
        what,
        text: text.to_owned(),
        rule,
    }
}

/// A count of bytes; parsed from `64m`, `1g`, `512k` (powers of 1024, as docker has them) or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "size",
                text,
                "write a number with an optional k, m or g, as in 64m",
            )
        };
        let lower = text.to_ascii_lowercase();
        let (digits, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
            Some(digits) if lower.ends_with('k') => (digits, 10),
            Some(digits) if lower.ends_with('m') => (digits, 20),
            Some(digits) => (digits, 30),
            None => (lower.as_str(), 0),
        };
        let count: u64 = digits.parse().map_err(|_| error())?;
        count.checked_mul(1 << shift).map(Bytes).ok_or_else(error)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{}.{} GiB", n >> 30, ((n % (1 << 30)) * 10) >> 30),
            n if n >= 1 << 20 => write!(f, "{}.{} MiB", n >> 20, ((n % (1 << 20)) * 10) >> 20),
            n if n >= 1 << 10 => write!(f, "{}.{} KiB", n >> 10, ((n % (1 << 10)) * 10) >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

/// Thousandths of a processor (the unit of MEC 010-2 `requestedCpuResources`); parsed from `0.5` or `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MilliCpus(pub u32);

impl FromStr for MilliCpus {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "cpus",
                text,
                "write processors with at most three decimals, as in 0.5",
            )
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let whole: u32 = whole.parse().map_err(|_| error())?;
        let thousandths: u32 = format!("{part:0<3}").parse().map_err(|_| error())?;
        match whole
            .checked_mul(1000)
            .and_then(|n| n.checked_add(thousandths))
        {
            Some(0) | None => Err(error()),
            Some(n) => Ok(Self(n)),
        }
    }
}

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

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

/// A port of the box that leads to a port of the application: `8080:80` or `5353:53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedPort {
    /// On the box.
    pub host: u16,
    /// In the container.
    pub container: u16,
    /// Which protocol.
    pub protocol: Protocol,
}

impl FromStr for PublishedPort {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "published port",
                text,
                "write HOST:CONTAINER or HOST:CONTAINER/udp, ports 1 to 65535",
            )
        };
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(error()),
        };
        let (host, container) = ports.split_once(':').ok_or_else(error)?;
        let port = |text: &str| {
            text.parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(error)
        };
        Ok(Self {
            host: port(host)?,
            container: port(container)?,
            protocol,
        })
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

/// An MQTT topic filter (MQTT 3.1.1, 4.7): `+` alone in a level, `#` alone and last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicFilter(String);

/// Longest topic filter taken here; the protocol's own limit of 65,535 bytes only serves attackers.
const TOPIC_FILTER_MAX: usize = 256;

impl TopicFilter {
    /// The filter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicFilter {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "topic filter",
                text,
                "write levels separated by '/', with + or # alone in a level, # last",
            )
        };
        let levels: Vec<&str> = text.split('/').collect();
        let last = levels.len().saturating_sub(1);
        let level_ok = |(at, level): (usize, &&str)| match *level {
            "+" => true,
            "#" => at == last,
            other => !other.contains(['+', '#']),
        };
        // '$' starts the broker's own topics ($CONTROL, $SYS): never an application's business.
        let sane = !text.is_empty()
            && text.len() <= TOPIC_FILTER_MAX
            && !text.starts_with('$')
            && !text.contains(|c: char| c.is_control());
        if sane && levels.iter().enumerate().all(level_ok) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for TopicFilter {
    type Error = ParseValueError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TopicFilter> for String {
    fn from(filter: TopicFilter) -> Self {
        filter.0
    }
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

/// The name of an environment variable: no '=' and no NUL, and not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

impl EnvName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err(refuse("environment variable", text, "write NAME=VALUE"));
        }
        if text.starts_with("MEC_") || text.starts_with("MQTT_") {
            return Err(refuse(
                "environment variable",
                text,
                "MEC_… and MQTT_… are set by the platform",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EnvName {
    type Error = ParseValueError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
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
    /// Unix seconds.
    pub created: u64,
}
