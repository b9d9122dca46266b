//! By which of its two entries the firmware started this box.

use std::ffi::CStr;
use std::fs;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The firmware's variables; looked at for a moment, so that nothing in the box ever has them.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The entry that was started (UEFI 2.10, 3.3): four bytes of attributes, then its number.
const CURRENT: &str = "BootCurrent-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Where umec-slot and the guard look.
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

/// Reads it and leaves it for the rest of the box. None: no firmware of ours started it.
pub fn note() -> Result<Option<Slot>, String> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount("efivarfs", VARIABLES, "efivarfs", flags, None::<&CStr>).is_err() {
        return Ok(None);
    }
    let bytes = fs::read(format!("{VARIABLES}/{CURRENT}")).unwrap_or_default();
    unmount(VARIABLES, UnmountFlags::empty())
        .map_err(|error| format!("cannot leave the firmware's variables: {error}"))?;
    let Some(slot) = of(&bytes) else {
        return Ok(None);
    };
    let letter = match slot {
        Slot::A => "a\n",
        Slot::B => "b\n",
    };
    fs::create_dir_all(FOLDER)
        .and_then(|()| fs::write(TO, letter))
        .map_err(|error| format!("cannot write {TO}: {error}"))?;
    Ok(Some(slot))
}

/// What was noted, for whoever runs later in this boot.
pub fn noted() -> Option<Slot> {
    match fs::read_to_string(TO).unwrap_or_default().trim() {
        "a" => Some(Slot::A),
        "b" => Some(Slot::B),
        _ => None,
    }
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
