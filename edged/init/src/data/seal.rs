//! The volume's keys: one in the TPM, one for people.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::Mode;

use super::header::{MAKING, WHOLE};
use crate::tpm;

/// The device mapper's name of the open volume, and its node.
const NAME: &str = "umec-data";
pub const MAPPED: &str = "/dev/mapper/umec-data";
/// The TPM with the kernel's resource manager in between. Named, as there is no udev to ask for it.
const TPM: &str = "--tpm2-device=/dev/tpmrm0";
/// PCRs that must be as they were. 12 and 13 are empty, or PID 1 would not have come as far as this: sealed to that, no
/// other order of start-up can unseal either.
const PCRS: &str = "--tpm2-pcrs=0+1+7+12+13";
/// Of these the values are remembered, to name what differs.
const REMEMBERED_OF: [u32; 3] = [0, 1, 7];
/// From systemd-stub, by way of PID 1.
const POLICY_KEY: &str = "/run/systemd/tpm2-pcr-public-key.pem";
const POLICY: &str = "/run/systemd/tpm2-pcr-signature.json";
/// Both keys are 256 random bits: there is nothing to stretch, so the fewest iterations that cryptsetup takes.
const ITERATIONS: &str = "1000";
/// Hexadecimal digits that are remembered of a PCR: three of them fit into the header's 47 bytes.
const REMEMBERED: usize = 12;
/// systemd's alphabet for recovery keys: letters that lie the same on every keyboard (modhex).
const MODHEX: &[u8; 16] = b"cbdefghijklnrtuv";

/// Makes the volume and opens it by the TPM, which shows that it can be. Gives the recovery key.
pub fn make(device: &Path) -> Result<String, String> {
    for file in [POLICY_KEY, POLICY] {
        if !Path::new(file).exists() {
            return Err(format!(
                "{file} is not there: only a signed unified kernel image can seal data"
            ));
        }
    }
    let recovery = recovery_key()?;
    let key = key_file(&recovery)?;
    let key = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&key));
    let mut format = tool("/usr/sbin/cryptsetup");
    format.args([
        "luksFormat",
        "--batch-mode",
        "--type=luks2",
        "--cipher=aes-xts-plain64",
    ]);
    format.args([
        "--key-size=512",
        "--sector-size=4096",
        "--pbkdf=pbkdf2",
        "--hash=sha256",
    ]);
    format.args([
        "--pbkdf-force-iterations",
        ITERATIONS,
        "--use-urandom",
        "--label",
        MAKING,
    ]);
    run(format.arg("--key-file").arg(&key).arg(device))?;
    let mut enrol = tool("/usr/bin/systemd-cryptenroll");
    enrol.args([TPM, PCRS, "--tpm2-public-key-pcrs=11"]);
    enrol.arg(format!("--tpm2-public-key={POLICY_KEY}"));
    enrol.arg(format!("--tpm2-signature={POLICY}"));
    run(enrol.arg(format!("--unlock-key-file={key}")).arg(device))?;
    unseal(device)?;
    Ok(recovery)
}

/// The volume is whole from here on.
pub fn finish(device: &Path) -> Result<(), String> {
    let mut label = tool("/usr/sbin/cryptsetup");
    label.args([
        "config",
        "--batch-mode",
        "--label",
        WHOLE,
        "--subsystem",
        &fingerprint(),
    ]);
    rustix::fs::sync();
    run(label.arg(device))
}

/// Opens the volume by the TPM, never by asking anybody.
pub fn unseal(device: &Path) -> Result<(), String> {
    let mut attach = tool("/usr/bin/systemd-cryptsetup");
    attach.args(["attach", NAME]).arg(device).arg("-");
    attach.arg(format!(
        "tpm2-device=/dev/tpmrm0,tpm2-signature={POLICY},headless=true,discard,no-read-workqueue,no-write-workqueue"
    ));
    run(&mut attach)
}

/// The PCRs that were not signed for, shortened: enough to tell which one differs, nothing to hide.
pub fn fingerprint() -> String {
    let of = |number| {
        let value = tpm::pcr(number).unwrap_or_default();
        format!("{number}={}", value.get(..REMEMBERED).unwrap_or_default())
    };
    REMEMBERED_OF.map(of).join(" ")
}

/// Why it does not open, for a person.
pub fn explain(sealed_with: &str, error: &str) -> String {
    let changed = changed(sealed_with, &fingerprint());
    let because = match changed.as_slice() {
        [] => "PCR 0, 1 and 7 are as they were, so this is another TPM than it was sealed by, or the image's policy for PCR 11 was signed by another key".to_owned(),
        some => format!("what was measured differs from when it was sealed: {}", some.join(", ")),
    };
    let error = error.lines().last().unwrap_or_default();
    format!("the data partition does not unseal; {because} ({error})")
}

/// What each PCR holds a measurement of (reference: UAPI group, Linux TPM PCR registry).
fn changed(then: &str, now: &str) -> Vec<String> {
    let then: Vec<&str> = then.split(' ').collect();
    let meaning = |pcr: &str| match pcr {
        "0" => "PCR 0 (firmware)",
        "1" => "PCR 1 (device tree and boot entries)",
        "7" => "PCR 7 (keys of secure boot)",
        _ => "a PCR",
    };
    now.split(' ')
        .filter(|value| !then.contains(value))
        .map(|value| meaning(value.split('=').next().unwrap_or_default()).to_owned())
        .collect()
}

/// 256 bits as systemd-cryptenroll writes them: eight groups of eight letters.
fn recovery_key() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| format!("the kernel gives no randomness: {error}"))?;
    Ok(render(&bytes))
}

fn render(bytes: &[u8; 32]) -> String {
    let letter = |nibble: u8| char::from(MODHEX.get(usize::from(nibble)).copied().unwrap_or(b'c'));
    let group = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .flat_map(|byte| [letter(byte >> 4), letter(byte & 15)])
            .collect()
    };
    let groups: Vec<String> = bytes.chunks(4).map(group).collect();
    groups.join("-")
}

/// A file in memory that only our own children see.
fn key_file(key: &str) -> Result<File, String> {
    let failed = |error: std::io::Error| format!("cannot hold the key in memory: {error}");
    let flags = rustix::fs::MemfdFlags::empty();
    let descriptor =
        rustix::fs::memfd_create("key", flags).map_err(|error| failed(error.into()))?;
    rustix::fs::fchmod(&descriptor, Mode::RUSR).map_err(|error| failed(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(key.as_bytes()).map_err(failed)?;
    Ok(file)
}

/// A program of the image. There is no udev that could make device nodes: libdevmapper shall do it.
pub fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("DM_DISABLE_UDEV", "1");
    command.env("PATH", "/usr/bin:/usr/sbin");
    command
        .env("SYSTEMD_LOG_TARGET", "console")
        .env("SYSTEMD_LOG_LEVEL", "notice");
    command.stdin(Stdio::null());
    command
}

/// Runs it; its last words are the reason where it fails.
pub fn run(command: &mut Command) -> Result<(), String> {
    run_until(command, 0)
}

/// The same for a program whose exit codes up to `good` are no failure.
pub fn run_until(command: &mut Command, good: i32) -> Result<(), String> {
    said(command, good).map(drop)
}

/// The same, with what it says.
pub fn said(command: &mut Command, good: i32) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let output = command
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    // The journal has all of it.
    eprint!("{answer}{words}");
    match output.status.code() {
        Some(code) if code <= good => Ok(answer),
        _ => {
            let last = words.lines().rev().find(|line| !line.trim().is_empty());
            Err(format!(
                "{name}: {}",
                last.unwrap_or("it failed without a word").trim()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_key_is_eight_groups_of_eight_letters() {
        let key = render(&[0x0f; 32]);
        assert_eq!(key, ["cvcvcvcv"; 8].join("-"));
        assert_ne!(recovery_key().unwrap(), recovery_key().unwrap());
    }

    #[test]
    fn a_refusal_names_what_differs() {
        let then = "0=aaaaaaaaaaaa 1=bbbbbbbbbbbb 7=cccccccccccc";
        let now = "0=aaaaaaaaaaaa 1=dddddddddddd 7=cccccccccccc";
        assert_eq!(changed(then, now), ["PCR 1 (device tree and boot entries)"]);
        assert!(changed(then, then).is_empty());
        assert!(then.len() < 48, "it must fit into the header's field");
    }

    #[test]
    fn a_program_that_fails_gives_its_last_words() {
        let mut shell = Command::new("/bin/sh");
        let error = run(shell.args(["-c", "echo first >&2; echo why >&2; exit 3"])).unwrap_err();
        assert_eq!(error, "sh: why");
        assert!(run_until(Command::new("/bin/sh").args(["-c", "exit 1"]), 1).is_ok());
    }
}
