//! The two things that start-up asks of the TPM itself: that a phase of the boot is over, and what the PCRs hold.
//!
//! One fixed command of the TPM 2.0 specification, part 3 ("`TPM2_PCR_Extend`"), so no library is needed in PID 1. The
//! words are systemd's (systemd-pcrphase.service(8)): whoever predicts PCR 11 with systemd-measure predicts ours.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// The character device without a resource manager in between: nothing but a PCR is touched.
const DEVICE: &str = "/dev/tpm0";
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

/// Begins a phase. Without a TPM there is nothing that could be unsealed, so nothing to close.
pub fn enter(phase: Phase) -> Result<(), String> {
    if !present() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("the TPM does not extend PCR {PCR}: {error}");
    let mut device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(failed)?;
    device.write_all(&extend(phase.digest())).map_err(failed)?;
    let mut answer = [0_u8; 64];
    let length = device.read(&mut answer).map_err(failed)?;
    match code(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(code) => Err(format!("the TPM does not extend PCR {PCR}: code {code:#x}")),
        None => Err(format!(
            "the TPM answers with {length} bytes to an extension of PCR {PCR}"
        )),
    }
}

/// What a PCR of the SHA-256 bank holds.
pub fn pcr(number: u32) -> Option<String> {
    let text = fs::read_to_string(format!("{PCRS}/{number}")).ok()?;
    Some(text.trim().to_ascii_lowercase())
}

/// `TPM2_PCR_Extend` of one SHA-256 digest, authorised by the empty password.
fn extend(digest: [u8; 32]) -> Vec<u8> {
    let mut command = Vec::with_capacity(65);
    command.extend(0x8002_u16.to_be_bytes()); // TPM_ST_SESSIONS
    command.extend(65_u32.to_be_bytes()); // commandSize
    command.extend(0x0000_0182_u32.to_be_bytes()); // TPM_CC_PCR_Extend
    command.extend(PCR.to_be_bytes()); // pcrHandle
    command.extend(9_u32.to_be_bytes()); // authorizationSize
    command.extend(0x4000_0009_u32.to_be_bytes()); // TPM_RS_PW
    command.extend([0; 5]); // no nonce, no attributes, no password
    command.extend(1_u32.to_be_bytes()); // one digest
    command.extend(0x000B_u16.to_be_bytes()); // TPM_ALG_SHA256
    command.extend(digest);
    command
}

/// The response code: bytes 6 to 9 of every answer.
fn code(answer: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = answer.get(6..10)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
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

    #[test]
    fn an_extension_says_its_own_length() {
        let command = extend([7; 32]);
        assert_eq!(command.len(), 65);
        assert_eq!(command[2..6], 65_u32.to_be_bytes());
    }

    #[test]
    fn a_short_answer_has_no_code() {
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1]), None);
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x20]), Some(0x120));
    }
}
