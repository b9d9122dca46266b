//! What the operator sees: these types are the JSON output, and the tables are drawn from them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use edged_model::{
    AppName, AppSpec, Bytes, Digest, ExitCode, ImageReference, InstanceId, InstanceState,
    MilliCpus, PinnedImage, PublishedPort, ServiceName, SiteName,
};
use serde::{Deserialize, Serialize};

/// One application in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// Its name.
    pub name: AppName,
    /// MEC 011 `appInstanceId`.
    pub id: InstanceId,
    /// The image it was asked for with.
    pub image: ImageReference,
    /// Where it is in its life: `state` and what belongs to that state.
    #[serde(flatten)]
    pub state: InstanceState,
    /// Unix seconds.
    pub created: u64,
    /// Unix seconds of the container's start, while it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started: Option<u64>,
    /// Times the platform started it again.
    pub restarts: u32,
    /// The name that leads to it while it is ready, as `sensor-page.app.example`.
    pub host_name: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// Ports of the box that lead to it.
    pub ports: Vec<PublishedPort>,
    /// Services it offers.
    pub services: Vec<ServiceName>,
}

/// Everything about one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub view: InstanceView,
    /// What was asked for.
    pub spec: AppSpec,
    /// What runs, fixed when the application was made.
    pub pinned: PinnedImage,
    /// Process id of its init on the box, while it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// How its container ended the last time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_exit: Option<ExitCode>,
}

/// An image in the content store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    /// The names that lead to it; empty for one that lives on only because an application uses it.
    pub references: Vec<ImageReference>,
    /// Digest of the manifest of this platform.
    pub manifest: Digest,
    /// Stored size of its blobs (shared ones included), bytes.
    pub size: Bytes,
    /// How many layers it has.
    pub layers: u32,
    /// Unix seconds of its making, where the image says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<u64>,
    /// Applications that use it.
    pub used_by: Vec<AppName>,
    /// The name of the key whose signature was enough when it was taken; absent where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed_by: Option<String>,
}

/// One package in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageView {
    /// MEC 010-2 `appPkgId`.
    pub id: String,
    /// Id of its descriptor, once it has been read.
    #[serde(rename = "appDId", skip_serializing_if = "Option::is_none", default)]
    pub app_d_id: Option<String>,
    /// The application, or what the package was announced as.
    pub name: String,
    /// Version of the software; empty until it has been read.
    pub version: String,
    /// Who provides it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    /// MEC 010-2 `onboardingState`.
    pub onboarding_state: String,
    /// Whether instances may be made of it.
    pub enabled: bool,
    /// Whether instances made of it exist.
    pub in_use: bool,
    /// Size of the package, bytes.
    pub size: Bytes,
    /// Its image in the content store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<ImageReference>,
    /// Who signed it; nobody where an unsigned one was taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}

/// Everything about one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub view: PackageView,
    /// MEC 010-2 `AppD`, once it has been read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub descriptor: Option<serde_json::Value>,
    /// Its files and their digests, as `SHA-256 0123…`.
    pub files: std::collections::BTreeMap<String, String>,
}

/// A signer whose packages are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerView {
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 of its certificates, hexadecimal.
    pub fingerprints: Vec<String>,
}

/// What one application uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// Whose.
    pub name: AppName,
    /// Processor share over the last moment, where two samples exist.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu: Option<MilliCpus>,
    /// Processor share allowed.
    pub cpu_limit: MilliCpus,
    /// Processor time used since the container's start, microseconds.
    pub cpu_us: u64,
    /// Memory in use, bytes.
    pub memory: Bytes,
    /// Memory allowed, bytes.
    pub memory_limit: Bytes,
    /// Processes and threads.
    pub pids: u64,
    /// Processes and threads allowed.
    pub pids_limit: u32,
}

/// How the box is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The platform's version.
    pub version: String,
    /// The zone its names are in.
    pub zone: String,
    /// Seconds since edged started.
    pub uptime: u64,
    /// The image that runs, where the box booted one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildView>,
    /// Whether the box has operators of its own.
    pub commissioned: bool,
    /// Counts of applications.
    pub applications: Applications,
    /// The parts it is made of and needs.
    pub parts: Vec<PartView>,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildView {
    /// Its version.
    pub version: String,
    /// The board it is for.
    pub board: String,
    /// Whether its keys are a developer's: such a box is nobody's secret.
    pub development: bool,
    /// Unix seconds that its sources are dated to.
    pub built: u64,
}

/// A box that was just commissioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommissionView {
    /// Where it stands.
    pub site: SiteName,
    /// Its operators.
    pub operators: Vec<OperatorView>,
    /// Opens the data partition without the TPM. Shown this once; absent where nothing is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<String>,
}

/// Somebody whose key opens the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorView {
    /// The key's comment, or its fingerprint where it has none.
    pub name: String,
    /// The key's fingerprint (SHA-256).
    pub fingerprint: String,
}

/// What an operator's other tools need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessView {
    /// Bearer token for every MEC interface.
    pub token: String,
    /// Seconds it lives.
    pub lifetime: u64,
    /// The authority of the box's certificates, PEM.
    pub ca: String,
    /// The account on the broker.
    pub mqtt: AccountView,
    /// IPv4 addresses of its applications.
    pub app_subnet: String,
}

/// An account on the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// The registers of a TPM's bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistersView {
    /// By number, lower-case hexadecimal.
    pub sha256: BTreeMap<u8, String>,
}

/// Counts of applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applications {
    /// Wanted at all.
    pub total: u32,
    /// Ready now.
    pub ready: u32,
}

/// One part of the box: the worker, the guardian, the broker, the resolver, the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartView {
    /// Its name.
    pub name: String,
    /// Whether it does its work.
    pub ok: bool,
    /// One sentence about how it is.
    pub detail: String,
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

/// A line that an application wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// Unix milliseconds of its arrival.
    pub time: u64,
    /// Where it was written.
    pub stream: Stream,
    /// Without its newline.
    pub text: String,
}
