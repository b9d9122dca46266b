//! A software TPM of a test.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use edged_trust::{Guard, Settings, Tpm};
use tempfile::TempDir;

/// Longest wait for it to listen.
const START: Duration = Duration::from_secs(10);

/// A TPM that ends with the test.
pub struct Swtpm {
    child: Child,
    port: u16,
    pub folder: TempDir,
}

impl Swtpm {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports();
        Self {
            child: start(folder.path(), port),
            port,
            folder,
        }
    }

    /// Loses its power and gets it back.
    pub fn power_cycle(&mut self) {
        self.end();
        self.child = start(self.folder.path(), self.port);
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As the TPM's library names it.
    pub fn place(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// What edged has of it.
    pub fn tpm(&self, guard: Option<Guard>) -> Tpm {
        Tpm::new(self.settings(guard))
    }

    pub fn settings(&self, guard: Option<Guard>) -> Settings {
        Settings {
            place: self.place(),
            folder: self.folder.path().join("objects"),
            guard,
        }
    }

    /// Runs a program of tpm2-tools in the folder; it must succeed.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let output = self.tried(name, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {told}");
        output
    }

    /// Runs a program of tpm2-tools in the folder.
    pub fn tried(&self, name: &str, arguments: &[&str]) -> Output {
        Command::new(name)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", self.place())
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.end();
    }
}

/// Two ports in a row: the second one is for power and resets.
fn ports() -> u16 {
    loop {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let next = port.checked_add(1);
        if next.is_some_and(|next| TcpListener::bind(("127.0.0.1", next)).is_ok()) {
            return port;
        }
    }
}

fn start(folder: &Path, port: u16) -> Child {
    let state = folder.join("state");
    std::fs::create_dir_all(&state).unwrap();
    let listen = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .args(["--server", &listen(port), "--ctrl", &listen(port + 1)])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "swtpm does not listen");
        std::thread::yield_now();
    }
    child
}
