//! The one configuration file that the three processes share.
//!
//! TOML with `version = 1`; a name that is not known is an error that points at its line, because a typing mistake
//! in a limit must not become the default. Everything but the folders has a default that suits a box.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod network;

pub use network::{Addressing, NetworkError};

/// The file's version that this program reads.
const VERSION: u32 = 1;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; name the configuration with --config FILE")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be; the message has line and column.
    #[error("{path} is not a valid configuration: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Written for another program version.
    #[error("{path} has version = {found}; this program reads version = {VERSION}")]
    Version {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// Values that are each right and do not fit together.
    #[error("{path}: {source}")]
    Network {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        source: NetworkError,
    },
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always 1.
    pub version: u32,
    /// The box.
    pub node: Node,
    /// The application network.
    #[serde(default)]
    pub network: Network,
    /// The resolver.
    #[serde(default)]
    pub dns: Dns,
    /// The broker.
    #[serde(default)]
    pub mqtt: Mqtt,
    /// The HTTP interfaces.
    #[serde(default)]
    pub http: Http,
    /// The door.
    #[serde(default)]
    pub ssh: Ssh,
    /// Where images come from.
    #[serde(default)]
    pub registries: Registries,
    /// Whose packages are taken.
    #[serde(default)]
    pub packages: Packages,
    /// How notifications leave.
    #[serde(default)]
    pub notifications: Notifications,
    /// What the signed image says of itself; absent on any other Linux machine.
    #[serde(default)]
    pub image: Option<Image>,
    /// Where the box's keys are.
    #[serde(default)]
    pub trust: Trust,
    /// How the box is updated; absent where its software comes another way.
    #[serde(default)]
    pub update: Option<Update>,
}

/// The box and its folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// First label of the zone `SITE.mec.internal`.
    #[serde(default = "default_site")]
    pub site: String,
    /// Durable state.
    pub state: PathBuf,
    /// State that a reboot may clear: sockets, namespaces, logs.
    pub run: PathBuf,
    /// User id that edged runs as; the worker and the guardian take connections from it alone.
    #[serde(default = "default_uid")]
    pub uid: u32,
    /// Parent of every application's cgroup, absolute within each hierarchy.
    #[serde(default = "default_cgroup")]
    pub cgroup: String,
}

fn default_site() -> String {
    "edge".to_owned()
}

fn default_uid() -> u32 {
    // In the range that Debian's policy leaves to dynamically allocated system users of the local administrator.
    64_900
}

fn default_cgroup() -> String {
    "/edged".to_owned()
}

impl Node {
    /// `SITE.mec.internal`.
    pub fn zone(&self) -> String {
        format!("{}.mec.internal", self.site)
    }
    /// The database of edged.
    pub fn database(&self) -> PathBuf {
        self.state.join("edged").join("state.db")
    }
    /// The content store: written by edged, read by the worker.
    pub fn content(&self) -> PathBuf {
        self.state.join("edged").join("content")
    }
    /// Unpacked layers: the worker's.
    pub fn layers(&self) -> PathBuf {
        self.state.join("layers")
    }
    /// Packages that were on-boarded.
    pub fn packages(&self) -> PathBuf {
        self.state.join("edged").join("packages")
    }
    /// Updates: the staged bundle, `staged`, which umec-slot reads as well, and how far it has come.
    pub fn updates(&self) -> PathBuf {
        self.state.join("edged").join("update")
    }
    /// The worker's socket.
    pub fn worker_socket(&self) -> PathBuf {
        self.run.join("worker.sock")
    }
    /// The guardian's socket.
    pub fn guardian_socket(&self) -> PathBuf {
        self.run.join("guardian.sock")
    }
    /// Pinned network namespaces, one file an instance: made by the worker, read by the guardian.
    pub fn netns(&self) -> PathBuf {
        self.run.join("netns")
    }
    /// The worker's folders of containers.
    pub fn containers(&self) -> PathBuf {
        self.run.join("worker")
    }
}

/// What the signed image says of itself, and what it does for edged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// File that says what was built, JSON.
    pub build: PathBuf,
    /// File of the public keys that may commission a box nobody has commissioned yet, one a line.
    pub commissioners: PathBuf,
    /// Folder in which a file called `reboot` or `poweroff` makes the box do so, and one called `certificate` has the broker
    /// read its certificate again.
    pub requests: PathBuf,
    /// The firmware's log of what it measured (TCG PC Client Platform Firmware Profile, 10), as this boot left it.
    pub event_log: PathBuf,
    /// Folder of the TPM's SHA-256 registers, one file each (Linux `sysfs-class-tpm`).
    pub registers: PathBuf,
}

/// Where the box's keys are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// The TPM that has them: `none`, `device:/dev/tpmrm0`, or `swtpm:host=127.0.0.1,port=2321`.
    pub tpm: Tpm,
    /// The key whose signature over what has booted opens them, PEM. Without one they are bound to the TPM alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// Whose word opens what the TPM keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The public key, PEM.
    pub key: PathBuf,
    /// What the image brings: its signatures, as systemd has them (`tpm2-pcr-signature.json`).
    pub signatures: PathBuf,
}

/// Where a TPM is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tpm {
    /// Nowhere: keys are files.
    #[default]
    None,
    /// As the TPM's library names it.
    At(String),
}

impl TryFrom<String> for Tpm {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("device" | "swtpm", place)) if !place.is_empty() => Ok(Self::At(text)),
            _ => Err(format!(
                "{text:?} is no TPM; write none, device:/dev/tpmrm0, or swtpm:host=127.0.0.1,port=2321"
            )),
        }
    }
}

impl From<Tpm> for String {
    fn from(tpm: Tpm) -> Self {
        match tpm {
            Tpm::None => "none".to_owned(),
            Tpm::At(place) => place,
        }
    }
}

/// How the box is updated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The public key that signs updates, PEM.
    pub key: PathBuf,
    /// The socket of umec-slot, which owns the boot partition.
    pub slot: PathBuf,
    /// The socket of umec-stick, which reads sticks.
    pub stick: PathBuf,
    /// The public key whose policy opens the data, PEM, as the firmware handed it on; no file where no TPM seals the data.
    pub policy_key: PathBuf,
    /// Seconds that a trial has to become healthy. The default leaves time for two slow starts of what runs on the box.
    #[serde(default = "default_trial")]
    pub trial: u64,
}

fn default_trial() -> u64 {
    240
}

/// The application network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Name of the gateway's interface and of the nftables table, and start of every link's name. At most 8 characters:
    /// a link's name is PREFIX, `v` and up to five digits in the kernel's 15.
    pub prefix: String,
    /// IPv4 addresses of applications, `NETWORK/LENGTH`; the first is the gateway's.
    pub subnet4: String,
    /// IPv6 addresses of applications, `NETWORK/LENGTH`.
    pub subnet6: String,
    /// The interface that leads outside; without one nothing can ask for egress.
    pub uplink: Option<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            prefix: "mec0".to_owned(),
            subnet4: "10.80.0.0/16".to_owned(),
            subnet6: "fd00:6d65:63::/64".to_owned(),
            uplink: None,
        }
    }
}

/// The resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Addresses to answer on beside the gateway's port 53.
    pub listen: Vec<SocketAddr>,
    /// Resolvers for everything outside the zone.
    pub upstreams: Vec<SocketAddr>,
}

/// The broker and the account that edged drives it with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Where edged reaches the broker.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// Its port on the gateway's address, for applications.
    pub app_port: u16,
    /// Account with the right to change accounts.
    pub username: String,
    /// File with that account's password; `STATE/edged/mqtt-password` where absent.
    pub password_file: Option<PathBuf>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: 1883,
            app_port: 1883,
            username: "edged".to_owned(),
            password_file: None,
        }
    }
}

/// The HTTP interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// HTTPS, with the box's own authority.
    pub listen: Vec<SocketAddr>,
    /// Plain HTTP, only where a person says so.
    pub plain: Vec<SocketAddr>,
    /// Plain HTTP on the gateway's address, for applications.
    pub app_port: u16,
    /// Put before every path, as in `/mep`; empty by default.
    pub prefix: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            plain: Vec::new(),
            app_port: 80,
            prefix: String::new(),
        }
    }
}

/// Whose packages (MEC 037) are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Packages {
    /// Folder of certificates in PEM: of signers, or of authorities that vouch for them; `STATE/edged/signers` where
    /// absent. An empty folder takes nobody's package.
    pub signers: Option<PathBuf>,
    /// Take packages without a signature as well: for a developer's own box.
    pub accept_unsigned: bool,
}

/// How notifications leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// PEM file of authorities trusted beside the system's for callbacks over HTTPS.
    pub ca: Option<PathBuf>,
}

/// The door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// Addresses to answer on.
    pub listen: Vec<SocketAddr>,
    /// File of operators' public keys, one a line (sshd(8), `AUTHORIZED_KEYS`); `STATE/edged/authorized_keys` where absent.
    pub authorized_keys: Option<PathBuf>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, 22))],
            authorized_keys: None,
        }
    }
}

/// Where images come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registries {
    /// `HOST:PORT` of registries that may be spoken to without TLS.
    pub insecure: Vec<String>,
    /// File of further certificate authorities, PEM.
    pub ca: Option<PathBuf>,
    /// Accounts by `HOST:PORT`.
    pub credentials: BTreeMap<String, Account>,
}

/// An account at a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// File with its password.
    pub password_file: PathBuf,
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let parse = |error: toml::de::Error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let config: Self = toml::from_str(&text).map_err(parse)?;
        if config.version != VERSION {
            return Err(ConfigError::Version {
                path: path.to_owned(),
                found: config.version,
            });
        }
        config.addressing().map_err(|source| ConfigError::Network {
            path: path.to_owned(),
            source,
        })?;
        Ok(config)
    }

    /// The addresses that follow from the subnets.
    pub fn addressing(&self) -> Result<Addressing, NetworkError> {
        Addressing::parse(&self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::read(file.path())
    }

    const LEAST: &str = "version = 1\n[node]\nstate = \"/s\"\nrun = \"/r\"\n";

    #[test]
    fn folders_are_all_that_must_be_said() {
        let config = read(LEAST).unwrap();
        assert_eq!(config.node.zone(), "edge.mec.internal");
        assert_eq!(
            config.addressing().unwrap().gateway4.to_string(),
            "10.80.0.1"
        );
    }

    #[test]
    fn an_unknown_name_is_pointed_at() {
        let error = read(&format!("{LEAST}[network]\nsubnet = \"10.0.0.0/8\"\n"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 6") && error.contains("subnet"),
            "{error}"
        );
    }

    #[test]
    fn a_tpm_is_none_a_device_or_a_software_tpm() {
        assert_eq!(read(LEAST).unwrap().trust.tpm, Tpm::None);
        for place in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321"] {
            let config = read(&format!("{LEAST}[trust]\ntpm = {place:?}\n")).unwrap();
            assert_eq!(config.trust.tpm, Tpm::At(place.to_owned()));
        }
        for place in ["", "/dev/tpmrm0", "device:", "mssim:"] {
            let error = read(&format!("{LEAST}[trust]\ntpm = {place:?}\n")).unwrap_err();
            assert!(error.to_string().contains("is no TPM"), "{error}");
        }
    }

    #[test]
    fn another_version_and_a_wrong_subnet_are_refused_by_name() {
        let version = read(&LEAST.replace("version = 1", "version = 2"))
            .unwrap_err()
            .to_string();
        assert!(version.contains("version = 2"), "{version}");
        let subnet = read(&format!("{LEAST}[network]\nsubnet4 = \"10.0.0.1\"\n"))
            .unwrap_err()
            .to_string();
        assert!(subnet.contains("subnet4"), "{subnet}");
    }
}
