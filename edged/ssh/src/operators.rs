//! Who may pass: from a key to an operator.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use russh::keys::{HashAlg, PublicKey};
use tracing::warn;

use crate::bounds::KEYS_MAX;

/// The one user name there is; roles come with names of their own.
const USER: &str = "admin";
/// Write permission of group and others.
const FOREIGN_WRITE: u32 = 0o022;

/// Somebody who passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The comment of the key, or its fingerprint where it has none.
    pub name: String,
}

/// The operator a user name and key belong to, by the file as it is now.
pub(crate) fn operator(user: &str, key: &PublicKey, keys: &Path) -> Option<Operator> {
    if user != USER {
        return None;
    }
    let text = read(keys)?;
    let line = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        // A line with options does not start with its kind, so it is no key here.
        .filter_map(|line| PublicKey::from_openssh(line).ok())
        .find(|known| known.key_data() == key.key_data())?;
    let comment = line.comment().to_string();
    Some(Operator {
        name: if comment.is_empty() {
            key.fingerprint(HashAlg::Sha256).to_string()
        } else {
            comment
        },
    })
}

/// The file's text, where it can be trusted; nobody passes where it cannot.
fn read(path: &Path) -> Option<String> {
    let unusable = |why: &dyn std::fmt::Display| {
        warn!(path = %path.display(), "operators' keys are not used: {why}");
    };
    let read = || -> std::io::Result<(u32, String)> {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode();
        let mut text = String::new();
        file.take(KEYS_MAX + 1).read_to_string(&mut text)?;
        Ok((mode, text))
    };
    match read() {
        Ok((mode, _)) if mode & FOREIGN_WRITE != 0 => {
            unusable(&"others than its owner may write it; chmod go-w");
            None
        }
        Ok((_, text)) if u64::try_from(text.len()).is_ok_and(|length| length > KEYS_MAX) => {
            unusable(&"it is larger than 64 KiB");
            None
        }
        Ok((_, text)) => Some(text),
        Err(error) => {
            unusable(&error);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use russh::keys::key::safe_rng;
    use russh::keys::{Algorithm, PrivateKey};

    use super::*;

    fn key() -> PublicKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
            .unwrap()
            .public_key()
            .clone()
    }

    #[test]
    fn only_a_listed_key_and_the_right_name_pass() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let (known, unknown, restricted) = (key(), key(), key());
        let text = format!(
            "# operators\n\n{} jo@desk\ncommand=\"ps\" {}\nnonsense\n",
            known.to_openssh().unwrap(),
            restricted.to_openssh().unwrap(),
        );
        fs::write(&path, text).unwrap();
        let name = operator("admin", &known, &path).map(|one| one.name);
        assert_eq!(name.as_deref(), Some("jo@desk"));
        assert_eq!(operator("root", &known, &path), None);
        assert_eq!(operator("admin", &unknown, &path), None);
        assert_eq!(operator("admin", &restricted, &path), None);
    }

    #[test]
    fn nobody_passes_by_a_file_that_is_absent_huge_or_open_to_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let known = key();
        assert_eq!(operator("admin", &known, &path), None);
        let line = known.to_openssh().unwrap();
        fs::write(&path, &line).unwrap();
        assert!(operator("admin", &known, &path).is_some());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(operator("admin", &known, &path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, format!("{line}\n{}", "#\n".repeat(40_000))).unwrap();
        assert_eq!(operator("admin", &known, &path), None);
    }
}
