//! The firmware's log of what it measured, where edged can read it.
//!
//! The kernel shows it in securityfs, to root alone (`tpm-securityfs`). What it says is no secret: whoever asks the box
//! for a quote is given it, as the registers are worth nothing without it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// Where the kernel shows it.
const FROM: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
/// Where edged looks (edged.toml, `image.event_log`).
const TO: &str = "/run/umec/event-log";
/// Its folder.
const FOLDER: &str = "/run/umec";

/// Copies it. A box without a TPM has none.
pub fn copy() -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot keep the firmware's log: {error}");
    let log = match fs::read(FROM) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    fs::create_dir_all(FOLDER).map_err(failed)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(TO)
        .map_err(failed)?;
    file.write_all(&log).map_err(failed)
}
