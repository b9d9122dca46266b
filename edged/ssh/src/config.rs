//! Where the door is and who may pass.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::HostKey;

/// Where the door is and who may pass.
#[derive(Debug, Clone)]
pub struct SshConfig {
    /// Addresses to answer on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Who the box is.
    pub host_key: HostKey,
    /// Operators' public keys, one a line (sshd(8), `AUTHORIZED_KEYS`); read again for every login. Lines with
    /// options are passed over: ignoring a restriction would grant more than was written.
    pub authorized_keys: PathBuf,
    /// On a box that is commissioned; `None` where whoever runs it writes `authorized_keys`.
    pub commissioning: Option<Commissioning>,
}

/// Who may pass before a box has operators.
#[derive(Debug, Clone)]
pub struct Commissioning {
    /// Public keys of those who may commission it, in the form of operators' keys.
    pub keys: PathBuf,
    /// This file's presence says that it has operators: from then on these keys open nothing.
    pub record: PathBuf,
}
