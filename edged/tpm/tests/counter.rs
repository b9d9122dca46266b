//! The floor of releases in a real software TPM whose power fails.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use edged_tpm::{Counter, Tpm, TpmError};
use tempfile::TempDir;

/// Longest wait for the TPM to listen.
const START: Duration = Duration::from_secs(10);
/// A counter's password.
const PASSWORD: &[u8] = b"password";
/// Commands after which the floor of the next pair is written and the old pair is still whole.
const LEFT_BEHIND: usize = 5;

/// A TPM that ends with the test.
struct Swtpm {
    child: Child,
    folder: TempDir,
}

impl Swtpm {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={path}")])
            .args(["--server", &format!("type=unixio,path={path}/socket")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Its line, which carries so many commands and then none.
    fn line(&self, commands: usize) -> Line {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(stream) = UnixStream::connect(self.folder.path().join("socket")) {
                return Line { stream, commands };
            }
            assert!(Instant::now() < deadline, "swtpm does not listen");
            std::thread::yield_now();
        }
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each write is a command, as at a device.
struct Line {
    stream: UnixStream,
    commands: usize,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.commands = self.commands.checked_sub(1).ok_or(io::ErrorKind::Other)?;
        self.stream.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

/// Makes the counter until the power fails; whether it did.
fn cut(tpm: &mut Tpm<Line>, commands: usize, floor: u64) -> bool {
    tpm.0.commands = commands;
    let made = Counter(tpm).make(floor, PASSWORD);
    tpm.0.commands = usize::MAX;
    match made {
        Ok(()) => false,
        Err(TpmError::Device { .. }) => true,
        Err(error) => panic!("after {commands} commands: {error}"),
    }
}

#[test]
fn a_cut_between_any_two_commands_never_lowers_the_floor() {
    let swtpm = Swtpm::new();
    let mut tpm = Tpm(swtpm.line(usize::MAX));
    assert_eq!(Counter(&mut tpm).floor().unwrap(), None);
    let mut floor = 3;
    for first in 0.. {
        // What an earlier cut left beside a whole pair is below the floor by now, and must not come back.
        Counter(&mut tpm).make(floor, PASSWORD).unwrap();
        cut(&mut tpm, LEFT_BEHIND, floor);
        assert_eq!(Counter(&mut tpm).counted().unwrap(), Some(floor));
        floor = Counter(&mut tpm).raise(floor + 2, PASSWORD).unwrap();
        let was_cut = cut(&mut tpm, first, floor);
        for second in 0.. {
            assert_eq!(Counter(&mut tpm).floor().unwrap(), Some(floor), "{first}");
            // A newer image runs by now.
            let was_cut = cut(&mut tpm, second, floor + 1);
            let after = Counter(&mut tpm).floor().unwrap();
            let expected = if was_cut {
                floor..=floor + 1
            } else {
                floor + 1..=floor + 1
            };
            assert!(
                after.is_some_and(|after| expected.contains(&after)),
                "{first}, {second}: {after:?}"
            );
            floor = after.unwrap();
            if !was_cut {
                break;
            }
        }
        if !was_cut {
            break;
        }
    }
}
