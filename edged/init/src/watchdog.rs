//! The box's watchdog, from the first moment: a box that hangs before systemd takes it over is reset.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

const DEVICE: &str = "/dev/watchdog0";
/// As systemd goes on with it (`RuntimeWatchdogSec` in system.conf): the whole of PID 1's part takes a second or two.
const SECONDS: libc::c_int = 60;
/// `WDIOC_SETTIMEOUT` (linux/watchdog.h).
const SET_TIMEOUT: u32 = 0xc004_5706;

/// Starts it. A box without one runs, and is not reset.
pub fn start() -> Result<(), String> {
    if !std::path::Path::new(DEVICE).exists() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{DEVICE}: {error}");
    let mut device = OpenOptions::new()
        .write(true)
        .open(DEVICE)
        .map_err(failed)?;
    let mut seconds = SECONDS;
    // SAFETY: the kernel writes one int, which is ours.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), SET_TIMEOUT.into(), &raw mut seconds) };
    if done != 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    // Any byte but V: with that one it would stop when the file is closed. systemd opens it again.
    device.write_all(b"\0").map_err(failed)
}
