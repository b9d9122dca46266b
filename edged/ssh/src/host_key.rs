//! The host key: read, or made once.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::SshError;
use crate::bounds::HOST_KEY_MAX;

/// The private host key.
#[derive(Debug, Clone)]
pub struct HostKey(pub(crate) PrivateKey);

impl HostKey {
    /// The key in the file (OpenSSH format); an ed25519 key is made where the file is absent.
    ///
    /// # Errors
    /// The file cannot be used, or holds no key for a door.
    pub fn read_or_make(path: &Path) -> Result<Self, SshError> {
        let on_file = |source| SshError::HostKeyFile {
            path: path.to_owned(),
            source,
        };
        let on_key = |reason: String| SshError::HostKey {
            path: path.to_owned(),
            reason,
        };
        match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(HOST_KEY_MAX)
                    .read_to_string(&mut text)
                    .map_err(on_file)?;
                Self::parse(&text).map_err(on_key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::make().map_err(on_key)?;
                let text = key.to_text().map_err(on_key)?;
                // Half a key would lock the door after a power cut.
                edged_authority::write_private(path, text.as_bytes()).map_err(on_file)?;
                Ok(key)
            }
            Err(error) => Err(on_file(error)),
        }
    }

    /// A new ed25519 key.
    ///
    /// # Errors
    /// No randomness.
    pub fn make() -> Result<Self, String> {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// A key in OpenSSH format.
    ///
    /// # Errors
    /// It is none for a door.
    pub fn parse(text: &str) -> Result<Self, String> {
        let key = PrivateKey::from_openssh(text).map_err(|error| error.to_string())?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } if !key.is_encrypted() => Ok(Self(key)),
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Err("it is encrypted".into()),
            other => Err(format!("it is of kind {other}")),
        }
    }

    /// In OpenSSH format.
    ///
    /// # Errors
    /// None that happens.
    pub fn to_text(&self) -> Result<String, String> {
        let text = self.0.to_openssh(LineEnding::LF);
        text.map(|text| text.to_string())
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        let made = HostKey::read_or_make(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = HostKey::read_or_make(&path).unwrap();
        assert_eq!(made.0.public_key(), read.0.public_key());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        fs::write(&path, "no key").unwrap();
        let error = HostKey::read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "no key");
    }
}
