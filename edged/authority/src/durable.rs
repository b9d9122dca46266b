//! Files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
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
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
