//! The host key: read, or made once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::SshError;
use crate::bounds::HOST_KEY_MAX;

/// Readable by its owner alone.
const MODE: u32 = 0o600;

/// The key in the file, which is made where it is absent.
pub(crate) fn read_or_make(path: &Path) -> Result<PrivateKey, SshError> {
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
            let key = PrivateKey::from_openssh(&text).map_err(|error| on_key(error.to_string()))?;
            match key.algorithm() {
                Algorithm::Ed25519 | Algorithm::Ecdsa { .. } if !key.is_encrypted() => Ok(key),
                Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => {
                    Err(on_key("it is encrypted".into()))
                }
                other => Err(on_key(format!("it is of kind {other}"))),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
                .map_err(|error| on_key(error.to_string()))?;
            let text = key
                .to_openssh(LineEnding::LF)
                .map_err(|error| on_key(error.to_string()))?;
            write_whole(path, text.as_bytes()).map_err(on_file)?;
            Ok(key)
        }
        Err(error) => Err(on_file(error)),
    }
}

/// The file appears whole and durable or not at all: half a key would lock the door after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        let made = read_or_make(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = read_or_make(&path).unwrap();
        assert_eq!(made.public_key(), read.public_key());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        fs::write(&path, "no key").unwrap();
        let error = read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "no key");
    }
}
