//! The read-only root: one file of the RAM root, mounted as it lies there.
//!
//! EROFS reads its file without a loop device between (`CONFIG_EROFS_FS_BACKED_BY_FILE`), so nothing is kept in memory
//! twice.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, mount as mount_on};

/// Mounts the file at `target`, read-only.
pub fn mount(file: &Path, target: &Path) -> Result<(), String> {
    let _ = fs::create_dir(target);
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    mount_on(file, target, "erofs", flags, None::<&CStr>)
        .map_err(|error| format!("cannot mount {}: {error}", file.display()))
}
