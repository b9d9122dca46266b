//! By which of its two entries the firmware started this box.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The firmware's variables; looked at for a moment, so that nothing in the box ever has them.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The entry that was started (UEFI 2.10, 3.3): four bytes of attributes, then its number.
const CURRENT: &str = "BootCurrent-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// What the kernel shows where a firmware with boot entries started it, whether or not its variables can be read.
const FIRMWARE: &str = "sys/firmware/efi";
/// Where umec-slot looks.
const TO: &str = "/run/umec/slot";
const FOLDER: &str = "/run/umec";

/// A slot (`board/keys`, `SLOTS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Entry 1: what starts by itself.
    A,
    /// Entry 2: a trial, or A was refused.
    B,
}

/// Reads it and leaves it for the rest of the box, where the firmware says it.
pub fn note() -> Result<(), String> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount("efivarfs", VARIABLES, "efivarfs", flags, None::<&CStr>).is_err() {
        return Ok(());
    }
    let bytes = fs::read(format!("{VARIABLES}/{CURRENT}")).unwrap_or_default();
    unmount(VARIABLES, UnmountFlags::empty())
        .map_err(|error| format!("cannot leave the firmware's variables: {error}"))?;
    let Some(slot) = of(&bytes) else {
        return Ok(());
    };
    let letter = match slot {
        Slot::A => "a\n",
        Slot::B => "b\n",
    };
    fs::create_dir_all(FOLDER)
        .and_then(|()| fs::write(TO, letter))
        .map_err(|error| format!("cannot write {TO}: {error}"))
}

/// What was noted, for whoever runs later in this boot.
pub fn noted() -> Option<Slot> {
    match fs::read_to_string(TO).unwrap_or_default().trim() {
        "a" => Some(Slot::A),
        "b" => Some(Slot::B),
        _ => None,
    }
}

/// Whether this may be slot B, so that another start may bring A: also where an image cannot read by which entry it was
/// started. Not where no boot entry started it: there is nothing else that could start.
pub fn may_be_b() -> bool {
    may_be(noted(), Path::new("/"))
}

fn may_be(noted: Option<Slot>, root: &Path) -> bool {
    noted.map_or_else(|| root.join(FIRMWARE).exists(), |slot| slot == Slot::B)
}

fn of(variable: &[u8]) -> Option<Slot> {
    match variable.get(4..)? {
        [1, 0] => Some(Slot::A),
        [2, 0] => Some(Slot::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_cannot_read_its_entry_may_be_a_trial() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert!(
            !may_be(None, root),
            "no entry started it: it is all there is"
        );
        fs::create_dir_all(root.join(FIRMWARE)).unwrap();
        assert!(may_be(None, root));
        assert!(may_be(Some(Slot::B), root));
        assert!(!may_be(Some(Slot::A), root));
    }

    #[test]
    fn the_entry_stands_behind_the_attributes() {
        assert_eq!(of(&[6, 0, 0, 0, 1, 0]), Some(Slot::A));
        assert_eq!(of(&[6, 0, 0, 0, 2, 0]), Some(Slot::B));
        for other in [
            &[][..],
            &[6, 0, 0, 0],
            &[6, 0, 0, 0, 1],
            &[6, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(of(other), None);
        }
    }
}
