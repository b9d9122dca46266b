//! Whether the box is the one it says it is.

use std::path::PathBuf;

use russh::client::Handler;
use russh::keys::known_hosts::{known_host_keys_path, learn_known_hosts_path};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::args::Destination;
use crate::error::CtlError;
use crate::target::Target;

/// Checks the host key of one connection against the known ones.
pub(crate) struct HostCheck {
    target: Target,
    known_hosts: PathBuf,
    accept_new: bool,
}

impl HostCheck {
    pub(crate) fn new(destination: &Destination) -> Self {
        Self {
            target: destination.target.clone(),
            known_hosts: destination.known_hosts.clone(),
            accept_new: destination.accept_new,
        }
    }

    fn check(&self, key: &PublicKey) -> Result<(), CtlError> {
        let Target { host, port, .. } = &self.target;
        let on_file = |error: russh::keys::Error| CtlError::KnownHosts {
            path: self.known_hosts.clone(),
            reason: error.to_string(),
        };
        let fingerprint = || format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let known = known_host_keys_path(host, *port, &self.known_hosts).map_err(on_file)?;
        if known
            .iter()
            .any(|(_, known)| known.key_data() == key.key_data())
        {
            return Ok(());
        }
        // A key of another kind is no new box: who is in between could simply offer one.
        if let Some((line, _)) = known.first() {
            return Err(CtlError::ChangedHost {
                target: self.target.clone(),
                fingerprint: fingerprint(),
                path: self.known_hosts.clone(),
                line: *line,
            });
        }
        if !self.accept_new {
            return Err(CtlError::UnknownHost {
                target: self.target.clone(),
                fingerprint: fingerprint(),
            });
        }
        learn_known_hosts_path(host, *port, key, &self.known_hosts).map_err(on_file)
    }
}

impl Handler for HostCheck {
    type Error = CtlError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, CtlError> {
        match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.check(key).map(|()| true),
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}
