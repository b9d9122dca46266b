//! The one line of JSON that a node prints when it serves.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where everything of a node is. Every address is reachable from the machine's default network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Always true: a node that does not get ready prints nothing.
    pub ready: bool,
    /// The process that runs until SIGTERM.
    pub pid: u32,
    /// The folder of its state.
    pub dir: PathBuf,
    /// Plain HTTP, where asked for.
    pub http: Option<String>,
    /// HTTPS.
    pub https: String,
    /// The authority that signed its certificate, PEM.
    pub ca: PathBuf,
    /// The operator's door.
    pub ssh: Ssh,
    /// The resolver.
    pub dns: Place,
    /// The broker.
    pub mqtt: Mqtt,
    /// Bearer token for every MEC interface.
    pub token: String,
    /// The network namespace it lives in; `None`: the default one.
    pub netns: Option<String>,
    /// IPv4 addresses of its applications.
    pub app_subnet: String,
}

/// An address and a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The address.
    pub host: IpAddr,
    /// The port.
    pub port: u16,
}

/// How an operator gets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// The address.
    pub host: IpAddr,
    /// The port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// File of the private key.
    pub identity: PathBuf,
    /// File with the node's own key.
    pub known_hosts: PathBuf,
}

/// The operator's account on the broker: publishes to `sensors/#`, reads everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mqtt {
    /// The address.
    pub host: IpAddr,
    /// Without TLS.
    pub port: u16,
    /// With TLS.
    pub tls_port: u16,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: String,
}
