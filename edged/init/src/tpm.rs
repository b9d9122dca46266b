//! What start-up asks of the TPM itself: that a phase of the boot is over, and what the PCRs hold.
//!
//! No library is needed in PID 1 ([`edged_tpm`]). The words of the phases are systemd's (systemd-pcrphase.service(8)): whoever predicts PCR 11 with systemd-measure predicts ours.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use edged_tpm::{Command, Tpm};

/// The character device without a resource manager in between: nothing is loaded into the TPM.
const DEVICE: &str = "/dev/tpm0";
/// The one with it, and edged's group (`/etc/group` of the image).
const MANAGED: &str = "/dev/tpmrm0";
const EDGED: u32 = 64_900;
/// One file a PCR, upper-case hexadecimal.
const PCRS: &str = "/sys/class/tpm/tpm0/pcr-sha256";
/// The PCR of unified kernel images and of the phases of the boot (UAPI group, Linux TPM PCR registry).
const PCR: u32 = 11;

/// A phase of the boot that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `enter-initrd`: the data partition may be unsealed.
    EnterInitrd,
    /// `leave-initrd`: not any more.
    LeaveInitrd,
}

impl Phase {
    /// SHA-256 of the phase's word.
    const fn digest(self) -> [u8; 32] {
        match self {
            Self::EnterInitrd => ENTER_INITRD,
            Self::LeaveInitrd => LEAVE_INITRD,
        }
    }
}

/// SHA-256 of `enter-initrd`.
const ENTER_INITRD: [u8; 32] = [
    0x51, 0xE6, 0xB9, 0x2F, 0x40, 0x5D, 0x1F, 0x98, 0xD9, 0x6E, 0x3D, 0xE3, 0x43, 0xD6, 0x1D, 0x42,
    0x0A, 0xD6, 0x92, 0x3B, 0x25, 0xDE, 0x21, 0xD7, 0x66, 0xF9, 0x29, 0x81, 0x92, 0xF1, 0x4F, 0xED,
];
/// SHA-256 of `leave-initrd`.
const LEAVE_INITRD: [u8; 32] = [
    0x3B, 0xE2, 0x61, 0xAF, 0xF7, 0xDB, 0x92, 0xBF, 0x50, 0x7E, 0xAE, 0x94, 0x7F, 0x40, 0x03, 0xFF,
    0xA2, 0xBC, 0xAD, 0x0B, 0xFF, 0xE3, 0x52, 0x46, 0x01, 0xD6, 0x2D, 0x0B, 0xC8, 0xBE, 0x71, 0x35,
];

/// Whether there is a TPM.
pub fn present() -> bool {
    Path::new(DEVICE).exists()
}

/// The TPM, where there is one.
pub fn open() -> Result<Option<Tpm<File>>, String> {
    if !present() {
        return Ok(None);
    }
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    let device = device.map_err(|error| format!("cannot open {DEVICE}: {error}"))?;
    Ok(Some(Tpm(device)))
}

/// Begins a phase. Without a TPM there is nothing that could be unsealed, so nothing to close.
pub fn enter(phase: Phase) -> Result<(), String> {
    let Some(mut tpm) = open()? else {
        return Ok(());
    };
    let done = tpm.run(&Command::extend(PCR, &phase.digest()));
    done.map(drop).map_err(|error| error.to_string())
}

/// Gives edged the device with the kernel's resource manager in between: it signs and quotes there.
pub fn share() -> Result<(), String> {
    let node = Path::new(MANAGED);
    if !node.exists() {
        return Ok(());
    }
    let mode = fs::Permissions::from_mode(0o660);
    chown(node, None, Some(EDGED))
        .and_then(|()| fs::set_permissions(node, mode))
        .map_err(|error| format!("cannot share {MANAGED}: {error}"))
}

/// What a PCR of the SHA-256 bank holds.
pub fn pcr(number: u32) -> Option<String> {
    let text = fs::read_to_string(format!("{PCRS}/{number}")).ok()?;
    Some(text.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_digests_are_those_of_systemds_words() {
        let of = |word: &str| <[u8; 32]>::from(Sha256::digest(word));
        assert_eq!(Phase::EnterInitrd.digest(), of("enter-initrd"));
        assert_eq!(Phase::LeaveInitrd.digest(), of("leave-initrd"));
    }
}
