//! A software TPM, and a line to it that can be cut.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use edged_tpm::Tpm;
use tempfile::TempDir;

/// Longest wait for the TPM to listen.
const START: Duration = Duration::from_secs(10);
/// A TPM that ends with the test.
pub struct Swtpm {
    child: Child,
    folder: TempDir,
}

impl Swtpm {
    pub fn new() -> Self {
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

    /// As it is found behind a device.
    pub fn tpm(&self) -> Tpm<Line> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(stream) = UnixStream::connect(self.folder.path().join("socket")) {
                let commands = usize::MAX;
                return Tpm(Line { stream, commands });
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

/// Each write is a command, as at a device. It carries so many of them, and then none.
pub struct Line {
    stream: UnixStream,
    pub commands: usize,
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
