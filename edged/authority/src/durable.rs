//! Files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file that only its owner can read: whole and on the disk, or not there.
///
/// # Errors
/// The disk's.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_durably(path, bytes, 0o600)
}

/// The name comes last, so that a power cut leaves the whole file or none: a name whose bytes were still in memory is an
/// empty file afterwards, and a box with an empty certificate never serves again. The mode is this one, whatever the
/// process takes away of others'.
///
/// # Errors
/// The disk's.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_folder(path)
}

/// Removes a file: its name is gone also after a power cut. One that is not there has been removed before.
///
/// # Errors
/// The disk's.
pub fn remove_durably(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_back_after_a_cut_is_removed_and_one_that_is_gone_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_host_key");
        for _ in 0..2 {
            std::fs::write(&path, "clear").unwrap();
            remove_durably(&path).unwrap();
            assert!(!path.exists());
            remove_durably(&path).unwrap();
        }
        // What cannot be removed is told.
        assert!(remove_durably(folder.path()).is_err());
    }
}
