//! Takes apart whatever there is of a container, whole or half. Every step finds out for itself what is left to do.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::{cgroup, create};
use crate::Error;
use crate::fault::{self, Fault};
use crate::place::Place;

/// Processes, cgroup, pinned namespace, mounts, folder; in this order, because each holds the next one. Idempotent.
pub fn destroy(place: &Place) -> Result<(), Error> {
    cgroup::remove(&place.cgroup)?;
    create::unpin(place)?;
    unmount_below(&place.dir)?;
    fault::point(Fault::BeforeForget);
    match fs::remove_dir_all(&place.dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::path("remove", &place.dir)(error))
        }
        _ => Ok(()),
    }
}

/// Unmounts everything beneath a folder, the folder itself not.
pub fn unmount_below(dir: &Path) -> Result<(), Error> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(table).map_err(Error::path("read", table))?;
    let mut targets: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|target| target.starts_with(dir) && target != dir)
        .collect();
    // The youngest mount of a path is listed last and comes off first.
    targets.reverse();
    for target in targets {
        match rustix::mount::unmount(&target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(Error::path("unmount", &target)(error)),
        }
    }
    Ok(())
}

/// `proc_pid_mountinfo(5)`: space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut path = text.to_owned();
    for (escaped, plain) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        path = path.replace(escaped, plain);
    }
    PathBuf::from(path)
}
