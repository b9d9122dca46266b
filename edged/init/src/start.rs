//! PID 1 until systemd takes over.

use std::convert::Infallible;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::mount::{MountFlags, mount, mount_move};
use rustix::system::{RebootCommand, reboot};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::{console, events, memory, release, root, slot, tpm, watchdog};

/// Where the root is put together before it becomes `/`.
const NEW_ROOT: &str = "/new";
/// What takes over.
const INIT: &str = "/usr/lib/systemd/systemd";
/// Ourselves, in the root.
const GUARD: &str = "/usr/lib/umec/umec-init";
/// Who built what, in the root.
const BUILD: &str = "etc/edged/build.json";
/// systemd-stub's folder in the RAM root: the policy for PCR 11 and the key that signed it.
const STUB: &str = "/.extra";
/// What lies in it in a clean boot: the last two are for systemd's programs. systemd-stub takes more from the boot
/// partition, which nobody signs: credentials, extensions. Whoever put such a thing there wants to be root.
const STUB_FILES: [&str; 3] = [
    "os-release",
    "tpm2-pcr-public-key.pem",
    "tpm2-pcr-signature.json",
];
/// Where systemd's programs look for these two.
const STUB_TO: &str = "/run/systemd";
/// PCRs of what may be added to an image (UAPI group, Linux TPM PCR registry).
const ADDITIONS: [(u32, &str); 2] = [(12, "a command line or a credential"), (13, "an extension")];
/// Before a start that may fail again: less than the watchdog's minute, more than a loop would take.
const BREATH: Duration = Duration::from_secs(30);
/// Of everything that is written below /var but not on the data partition: a share of the memory.
const VAR: &str = "mode=0755,size=10%,nr_inodes=8k";
/// Of /tmp and of /run.
const TMP: &str = "mode=1777,size=10%,nr_inodes=8k";
const RUN: &str = "mode=0755,size=20%,nr_inodes=64k";

/// Why a box does not start.
enum Stop {
    /// The image, or what lies beside it, must not run here. It will not be another one the next time.
    Refused(String),
    /// The hardware or the kernel did not do its part: a TPM may stumble once.
    Failed(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Starts the box; says why not, and turns it off or starts it again where that fails.
pub fn run() -> ! {
    let Err(stop) = start();
    let (Stop::Refused(reason) | Stop::Failed(reason)) = &stop;
    console::say(&format!("UMEC-INIT-REFUSED: {reason}"));
    let command = match stop {
        // After B comes A, which is known to be good: a box that is off would wait for somebody to come by.
        Stop::Refused(_) if slot::may_be_b() => RebootCommand::Restart,
        Stop::Refused(_) => RebootCommand::PowerOff,
        Stop::Failed(_) => {
            std::thread::sleep(BREATH);
            RebootCommand::Restart
        }
    };
    rustix::fs::sync();
    let _ = reboot(command);
    // The kernel panics when PID 1 ends; panic= on its command line decides what follows.
    std::process::exit(1)
}

fn start() -> Result<Infallible, Stop> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Debian's kernel has mounted it already if so configured; a second mount of devtmpfs is the same one.
    put("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755")?;
    put("proc", "/proc", quiet, "")?;
    put("sysfs", "/sys", quiet, "")?;
    put("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, RUN)?;
    put("securityfs", "/sys/kernel/security", quiet, "")?;
    // A box without a watchdog runs, and is not reset when it hangs.
    if let Err(reason) = watchdog::start() {
        console::say(&format!("umec-init: no watchdog: {reason}"));
    }
    slot::note()?;
    events::copy()?;
    // First use of the TPM: from here on, what is sealed to the boot before the RAM root stays sealed.
    tpm::enter(tpm::Phase::EnterInitrd)?;
    refuse_additions().map_err(Stop::Refused)?;
    take_over_stub().map_err(Stop::Refused)?;
    root::mount(Path::new("/root.img"), Path::new(NEW_ROOT))?;
    let build = fs::read_to_string(Path::new(NEW_ROOT).join(BUILD)).unwrap_or_default();
    console::say(&banner(&build));
    if let Some(reason) = release::refusal(Path::new(NEW_ROOT))? {
        return Err(Stop::Refused(reason));
    }
    tpm::share()?;
    put("tmpfs", &format!("{NEW_ROOT}/var"), quiet, VAR)?;
    put("tmpfs", &format!("{NEW_ROOT}/tmp"), quiet, TMP)?;
    for folder in ["cache", "lib", "log", "spool"] {
        let path = format!("{NEW_ROOT}/var/{folder}");
        fs::create_dir(&path).map_err(|error| format!("cannot make {path}: {error}"))?;
    }
    // A box without compressed memory runs, with less room.
    if let Err(reason) = memory::compress() {
        console::say(&format!("umec-init: no compressed memory: {reason}"));
    }
    Ok(switch()?)
}

fn put(kind: &str, target: &str, flags: MountFlags, options: &str) -> Result<(), String> {
    let _ = fs::create_dir(target);
    let options = std::ffi::CString::new(options).map_err(|_| "a mount option holds NUL")?;
    mount(kind, target, kind, flags, options.as_c_str())
        .map_err(|error| format!("cannot mount {target}: {error}"))
}

/// The stub's files go where systemd's programs look for them: the RAM root itself is left behind.
fn take_over_stub() -> Result<(), String> {
    let Ok(entries) = fs::read_dir(STUB) else {
        return Ok(()); // not started by a unified kernel image: the data partition will say what that means
    };
    let failed = |error| format!("cannot keep the files of {STUB}: {error}");
    fs::create_dir_all(STUB_TO).map_err(failed)?;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !STUB_FILES.iter().any(|known| name == *known) || !entry.path().is_file() {
            let name = name.to_string_lossy();
            return Err(format!(
                "the boot partition holds {name}, which nobody signed: remove it there"
            ));
        }
        fs::copy(entry.path(), Path::new(STUB_TO).join(&name)).map_err(failed)?;
    }
    Ok(())
}

/// What systemd-stub measured beside the image: command lines, credentials, extensions. A signed image has none.
fn refuse_additions() -> Result<(), String> {
    for (number, what) in ADDITIONS {
        let added = tpm::pcr(number).is_some_and(|value| value.chars().any(|digit| digit != '0'));
        if added {
            return Err(format!(
                "PCR {number} is not empty: {what} was added to the image, which nobody signed"
            ));
        }
    }
    Ok(())
}

/// The first line that a person sees.
fn banner(build: &str) -> String {
    let compact: String = build.split_whitespace().collect();
    let of = |name: &str| {
        let (_, rest) = compact.split_once(&format!("\"{name}\":\""))?;
        rest.split('"').next()
    };
    let version = of("version").unwrap_or("unknown");
    let board = of("board").unwrap_or("unknown");
    // Whatever does not say that it is for production is not.
    let kind = if compact.contains("\"development\":false") {
        ""
    } else {
        " *** DEVELOPMENT: its keys are public, never connect it to anything that matters ***"
    };
    format!("uMEC {version} for {board}{kind}")
}

/// Makes the new root `/` and systemd PID 1 in it.
fn switch() -> Result<Infallible, String> {
    for place in ["dev", "proc", "sys", "run"] {
        let to = format!("{NEW_ROOT}/{place}");
        mount_move(format!("/{place}"), &to)
            .map_err(|error| format!("cannot move /{place}: {error}"))?;
    }
    // What lies in the RAM root is memory; the mount holds on to the file of the root.
    for file in ["/init", "/root.img"] {
        fs::remove_file(file).map_err(|error| format!("cannot remove {file}: {error}"))?;
    }
    let _ = fs::remove_dir_all(STUB);
    let failed = |error| format!("cannot enter the root: {error}");
    rustix::process::chdir(NEW_ROOT).map_err(failed)?;
    mount_move(".", "/").map_err(failed)?;
    rustix::process::chroot(".").map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)?;
    if slot::may_be_b() {
        let guard = Command::new(GUARD).arg("guard").env_clear().spawn();
        guard.map_err(|error| format!("cannot run {GUARD}: {error}"))?;
    }
    // There are no modules: nobody needs the right to load one, and systemd does not look for them without it.
    remove_capability_from_bounding_set(CapabilitySet::SYS_MODULE).map_err(failed)?;
    // Nothing of the kernel's command line becomes an argument: systemd reads /proc/cmdline itself.
    let error = Command::new(INIT).env_clear().exec();
    Err(format!("cannot run {INIT}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_does_not_say_what_it_is_counts_as_development() {
        assert!(banner("").contains("DEVELOPMENT"));
        assert!(banner(r#"{"development": true}"#).contains("DEVELOPMENT"));
        let line = banner(r#"{"version": "1.2", "board": "rpi4", "development": false}"#);
        assert_eq!(line, "uMEC 1.2 for rpi4");
    }
}
