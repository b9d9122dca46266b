//! The file system of the data partition.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, mount as mount_on};

use super::seal::{run, run_until, tool};

/// Where it is mounted.
const TARGET: &str = "/var/lib";
/// edged's own folder, and its user (edged.toml, `node.uid`; /etc/passwd of the image).
const EDGED: &str = "/var/lib/edged/edged";
const EDGED_USER: u32 = 64_900;
/// Until commissioning has shown it.
const RECOVERY_KEY: &str = "/var/lib/edged/edged/recovery-key";
/// e2fsck(8): 1 is "errors were corrected".
const CORRECTED: i32 = 1;

/// Makes an empty file system: no time for what start-up does not need, no reserve for a root that writes nothing.
pub fn make(device: &str) -> Result<(), String> {
    run(&mut mke2fs(device))
}

/// The same in the device's first KiB alone: mke2fs empties the last ones of its own first.
pub fn make_before(device: &str, kib: u64) -> Result<(), String> {
    run(mke2fs(device).arg(format!("{kib}k")))
}

fn mke2fs(device: &str) -> Command {
    let mut make = tool("/usr/sbin/mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-m", "0", "-L", "umec-data"]);
    make.args([
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        device,
    ]);
    make
}

/// Repairs what can be repaired without asking.
pub fn check(device: &str) -> Result<(), String> {
    let mut check = tool("/usr/sbin/e2fsck");
    run_until(check.args(["-p", device]), CORRECTED)
        .map_err(|error| format!("the data partition's file system is damaged: {error}"))
}

/// Mounts it.
pub fn mount(device: &Path) -> Result<(), String> {
    let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
    mount_on(device, TARGET, "ext4", flags, None::<&std::ffi::CStr>)
        .map_err(|error| format!("cannot mount {}: {error}", device.display()))
}

/// Where edged, and nobody else but root, reads it.
pub fn keep_recovery_key(key: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot keep the recovery key: {error}");
    fs::create_dir_all("/var/lib/edged").map_err(failed)?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(EDGED)
        .map_err(failed)?;
    chown(EDGED, Some(EDGED_USER), Some(EDGED_USER)).map_err(failed)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(RECOVERY_KEY)
        .map_err(failed)?;
    file.write_all(format!("{key}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| chown(RECOVERY_KEY, Some(EDGED_USER), Some(EDGED_USER)))
        .map_err(failed)
}
