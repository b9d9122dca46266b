//! Services of others, with folders of their own, that end with their value.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::host::dies_with_us;
use crate::process;

/// Longest start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks: starts are measured with it.
const PACE: Duration = Duration::from_micros(500);

/// A process that ends with this value.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts a program in the foreground, with its log in a folder.
    pub fn start(folder: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let child = dies_with_us(Path::new(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, log })
    }

    /// Its process number.
    pub fn pid(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    /// Waits for an answer; without one, its last words are the reason.
    pub fn wait(&self, mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = ask() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(error.context(format!("it said: {}", process::last_lines(&log))));
            }
            std::thread::sleep(PACE);
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It keeps nothing that a sudden end would harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// containerd with nothing to do.
#[derive(Debug)]
pub struct Containerd(pub Service);

impl Containerd {
    /// Starts one and waits for its socket.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join("config.toml");
        let (root, state) = (folder.join("root"), folder.join("state"));
        let socket = folder.join("containerd.sock");
        // Without the part that serves Kubernetes, which would look for networks.
        fs::write(
            &config,
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
        )?;
        let words = [
            ("--config", &config),
            ("--root", &root),
            ("--state", &state),
            ("--address", &socket),
        ];
        let words: Vec<String> = words
            .into_iter()
            .flat_map(|(option, path)| [option.to_owned(), path.display().to_string()])
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let service = Service::start(folder, "containerd", &words)?;
        service.wait(|| Ok(UnixStream::connect(&socket).map(drop)?))?;
        Ok(Self(service))
    }
}

/// Whether a resolver answers at a port of loopback.
pub fn answers(port: u16, name: &str) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    // RFC 1035, 4.1: a header with one question, the name, type A, class IN.
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    socket.send_to(&query, ("127.0.0.1", port))?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // Answers are counted in bytes 6 and 7.
    let answers = answer.get(..length).and_then(|bytes| bytes.get(7).copied());
    anyhow::ensure!(answers == Some(1), "{name} has no answer yet");
    Ok(())
}
