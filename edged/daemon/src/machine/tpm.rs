//! What Linux shows of the TPM and of the firmware's measurements.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Registers of a bank (TCG PC Client Platform TPM Profile, 4.6).
const REGISTERS: u8 = 24;
/// Largest log that is read: firmware reserves 64 KiB for it.
const LOG_MAX: u64 = 1 << 20;

/// The registers of a bank, lower-case hexadecimal, from one file each (`sysfs-class-tpm`, `pcr-sha256/N`).
pub fn registers(folder: &Path) -> io::Result<BTreeMap<u8, String>> {
    (0..REGISTERS)
        .map(|number| {
            let text = fs::read_to_string(folder.join(number.to_string()))?;
            Ok((number, text.trim().to_ascii_lowercase()))
        })
        .collect()
}

/// The log as the firmware left it.
pub fn log(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LOG_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
