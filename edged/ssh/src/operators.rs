//! Who may pass: from a key to an operator.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edged_console::Standing;
use russh::keys::{HashAlg, PublicKey};
use tracing::warn;

use crate::Commissioning;
use crate::bounds::KEYS_MAX;

/// The one user name there is; roles come with names of their own.
pub(crate) const USER: &str = "admin";
/// Write permission of group and others.
const FOREIGN_WRITE: u32 = 0o022;

/// Somebody who passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The comment of the key, or its fingerprint where it has none.
    pub name: String,
    /// What the key lets it do.
    pub standing: Standing,
    /// How long it stays; nothing where that is open.
    pub stay: Option<Duration>,
}

/// Who may pass at all.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) operators: PathBuf,
    pub(crate) commissioning: Option<Commissioning>,
}

impl Keys {
    /// Whom a user name and key belong to, by the files as they are now. Commissioners pass exactly until the box has
    /// operators, operators from then on.
    pub(crate) fn who(&self, user: &str, key: &PublicKey) -> Option<Operator> {
        match &self.commissioning {
            // A record that cannot be looked for counts as one: nobody commissions a box twice.
            Some(fresh) if matches!(fresh.record.try_exists(), Ok(false)) => {
                operator(user, key, &fresh.keys, Standing::Commissioner)
            }
            _ => operator(user, key, &self.operators, Standing::Operator),
        }
    }

    /// Whether the box has operators.
    pub(crate) fn is_somebodys(&self) -> bool {
        !matches!(&self.commissioning, Some(fresh) if matches!(fresh.record.try_exists(), Ok(false)))
    }
}

/// Reads a list of operators' public keys strictly, for one that is to be written: name and fingerprint of each.
///
/// # Errors
/// The number of the first line (from 1) that is neither empty, nor a comment, nor a key without options.
pub fn read_keys(text: &str) -> Result<Vec<(String, String)>, usize> {
    text.lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(place, line)| {
            let key = PublicKey::from_openssh(line).map_err(|_| place + 1)?;
            Ok((name(&key), key.fingerprint(HashAlg::Sha256).to_string()))
        })
        .collect()
}

fn name(key: &PublicKey) -> String {
    let comment = key.comment().to_string();
    if comment.is_empty() {
        key.fingerprint(HashAlg::Sha256).to_string()
    } else {
        comment
    }
}

fn operator(user: &str, key: &PublicKey, keys: &Path, standing: Standing) -> Option<Operator> {
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
    Some(Operator {
        name: name(&line),
        standing,
        stay: None,
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

    fn passes(user: &str, key: &PublicKey, path: &Path) -> Option<Operator> {
        operator(user, key, path, Standing::Operator)
    }

    #[test]
    fn a_commissioner_passes_exactly_until_the_box_has_operators() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (commissioner, owner) = (key(), key());
        fs::write(at("fresh"), commissioner.to_openssh().unwrap()).unwrap();
        fs::write(at("operators"), owner.to_openssh().unwrap()).unwrap();
        let keys = Keys {
            operators: at("operators"),
            commissioning: Some(Commissioning {
                keys: at("fresh"),
                record: at("record"),
            }),
        };
        let standing = |key| keys.who("admin", key).map(|who| who.standing);
        assert_eq!(standing(&commissioner), Some(Standing::Commissioner));
        assert_eq!(standing(&owner), None);
        fs::write(at("record"), "{}").unwrap();
        assert_eq!(standing(&commissioner), None);
        assert_eq!(standing(&owner), Some(Standing::Operator));
    }

    #[test]
    fn a_list_of_keys_is_read_strictly() {
        let good = format!("# ours\n\n{} jo@desk\n", key().to_openssh().unwrap());
        assert_eq!(read_keys(&good).unwrap().len(), 1);
        assert_eq!(read_keys(&format!("{good}nonsense\n")), Err(4));
        let restricted = format!("command=\"ps\" {good}");
        assert!(read_keys(&restricted.replace("# ours\n\n", "")).is_err());
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
        let name = passes("admin", &known, &path).map(|one| one.name);
        assert_eq!(name.as_deref(), Some("jo@desk"));
        assert_eq!(passes("root", &known, &path), None);
        assert_eq!(passes("admin", &unknown, &path), None);
        assert_eq!(passes("admin", &restricted, &path), None);
    }

    #[test]
    fn nobody_passes_by_a_file_that_is_absent_huge_or_open_to_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let known = key();
        assert_eq!(passes("admin", &known, &path), None);
        let line = known.to_openssh().unwrap();
        fs::write(&path, &line).unwrap();
        assert!(passes("admin", &known, &path).is_some());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(passes("admin", &known, &path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, format!("{line}\n{}", "#\n".repeat(40_000))).unwrap();
        assert_eq!(passes("admin", &known, &path), None);
    }
}
