//! PID 1 of an image for tests: asks OP-TEE for sessions with trusted applications, says its answers, switches off.
//!
//! `/asked` has a line for each question: a word and the application's UUID. Where `/applications` has a file named by
//! that word, it is first laid where tee-supplicant finds the application: so OP-TEE can be asked for the same one as
//! one signer after the other signed it. An answer is a line on the console: [`ANSWER`], the word, and OP-TEE's result.
//!
//! It needs no crate and is compiled by itself (`board_cross::lone`).

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Begins the line with an answer, the last line of all, and the line that says why there is no more.
const ANSWER: &str = "TEE-ANSWER";
const END: &str = "TEE-ASKED";
const FAILED: &str = "TEE-FAILED";

/// Where the questions are, where their files, and where tee-supplicant (optee-client 4.5) looks for an application.
const ASKED: &str = "/asked";
const FILES: &str = "/applications";
const PLACE: &str = "/lib/optee_armtz";
/// Which it serves storage from: OP-TEE remembers the versions of applications there.
const STORAGE: &str = "/storage";
/// A call without a supplicant blocks in the kernel for ever; with one, it takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Linux: `include/uapi/linux/tee.h`, `_IOR(0xa4, 2, 16 bytes)` and `_IOR(0xa4, 5, 4 bytes)`.
const OPEN_SESSION: c_ulong = 0x8010_a402;
const CLOSE_SESSION: c_ulong = 0x8004_a405;
/// `include/uapi/linux/reboot.h`: `LINUX_REBOOT_CMD_POWER_OFF`.
const POWER_OFF: c_int = 0x4321_fedc;

unsafe extern "C" {
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn ioctl(descriptor: c_int, request: c_ulong, ...) -> c_int;
    fn tcdrain(descriptor: c_int) -> c_int;
    fn reboot(command: c_int) -> c_int;
}

/// `struct tee_ioctl_open_session_arg`, without parameters for the application.
#[repr(C, align(8))]
#[derive(Default)]
struct OpenSession {
    uuid: [u8; 16],
    client: [u8; 16],
    login: u32,
    cancel: u32,
    session: u32,
    result: u32,
    origin: u32,
    parameters: u32,
}

/// `struct tee_ioctl_buf_data`.
#[repr(C)]
struct Buffer {
    place: u64,
    length: u64,
}

fn main() -> io::Result<()> {
    let watchdog = || {
        std::thread::sleep(PATIENCE);
        println!("{FAILED}: OP-TEE has not answered for {PATIENCE:?}");
        switch_off()
    };
    std::thread::Builder::new().spawn(watchdog)?;
    match ask() {
        Ok(()) => println!("{END}"),
        Err(error) => println!("{FAILED}: {error}"),
    }
    switch_off()
}

fn ask() -> io::Result<()> {
    for (kind, target) in [
        (c"devtmpfs", c"/dev"),
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
    ] {
        attach(kind, target)?;
    }
    Command::new("/sbin/tee-supplicant")
        .args(["--fs-parent-path", STORAGE])
        .spawn()?;
    let tee = File::open("/dev/tee0")?;
    for line in fs::read_to_string(ASKED)?.lines() {
        let (word, uuid) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let file = Path::new(FILES).join(word);
        if file.exists() {
            let place = PathBuf::from(PLACE).join(format!("{uuid}.ta"));
            fs::copy(file, place)?;
        }
        println!("{ANSWER} {word} {:#010x}", session(&tee, octets(uuid)?)?);
    }
    Ok(())
}

fn attach(kind: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: the strings end with NUL and outlive the call; these file systems take no data.
    let done = unsafe {
        mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    checked(done)
}

/// Opens a session and closes it; gives OP-TEE's result.
fn session(tee: &File, uuid: [u8; 16]) -> io::Result<u32> {
    let mut open = OpenSession {
        uuid,
        ..OpenSession::default()
    };
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut buffer = Buffer {
        place: u64::try_from((&raw mut open).expose_provenance()).map_err(invalid)?,
        length: u64::try_from(size_of::<OpenSession>()).map_err(invalid)?,
    };
    // SAFETY: the request takes a `tee_ioctl_buf_data` that leads to a `tee_ioctl_open_session_arg` of that length, which
    // the kernel reads and writes; both live until it returns.
    checked(unsafe { ioctl(tee.as_raw_fd(), OPEN_SESSION, &raw mut buffer) })?;
    // SAFETY: the kernel wrote to it through the address above, behind the compiler's back.
    let open = unsafe { std::ptr::read_volatile(&raw const open) };
    if open.result == 0 {
        // SAFETY: the request takes a `tee_ioctl_close_session_arg`, which is the session's number.
        checked(unsafe { ioctl(tee.as_raw_fd(), CLOSE_SESSION, &raw const open.session) })?;
    }
    Ok(open.result)
}

/// The sixteen bytes of a UUID in their order (RFC 9562).
fn octets(uuid: &str) -> io::Result<[u8; 16]> {
    let digits = uuid.replace('-', "");
    let number = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?;
    Ok(number.to_be_bytes())
}

fn checked(code: c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn switch_off() -> io::Result<()> {
    // SAFETY: takes a descriptor, which is open or not.
    unsafe { tcdrain(io::stdout().as_raw_fd()) };
    // SAFETY: nothing that is held matters any more.
    checked(unsafe { reboot(POWER_OFF) })
}
