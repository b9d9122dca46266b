//! Why the door does not open.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for ssh: {source}; free it or change [ssh] listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The host key file cannot be read or made.
    #[error("cannot use host key file {}: {source}", path.display())]
    HostKeyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host key file is no private key of a kind that is used here.
    #[error(
        "host key file {} is not an unencrypted OpenSSH key (ed25519 or ecdsa): {reason}; move it away and a new one is made",
        path.display()
    )]
    HostKey {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
