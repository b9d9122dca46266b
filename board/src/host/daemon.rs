//! One process of a node: how it starts, when it is ready, what happens when it ends.
//!
//! As systemd does it on a device: a user and capabilities set from outside, `READY=1` on a socket (`sd_notify(3)`),
//! a restart shortly after an end that nobody asked for.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::process;

/// Between an end and the next start: `RestartSec` of the units.
const RESTART: Duration = Duration::from_millis(50);
/// Longest pause where a process ends again and again before it is ready.
const RESTART_MAX: Duration = Duration::from_secs(5);
/// Longest wait for `READY=1`: a debug build on a busy machine needs two seconds.
const READY: Duration = Duration::from_secs(30);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often an end is looked for while something else is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// Longest notification: systemd's own messages are shorter.
const NOTIFICATION_MAX: usize = 4096;

/// As whom a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// As we do; it drops what it does not need by itself.
    Root,
    /// As a user id without a name, with the one capability to listen on ports below 1024.
    Edged(u32),
    /// As a user of the machine, without capabilities.
    User(&'static str),
}

impl Identity {
    /// A command that becomes this identity and then the program. The program dies with us.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        match self {
            Self::Root => {}
            Self::Edged(uid) => {
                let uid = uid.to_string();
                command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]);
                command.args(["--inh-caps", "-all,+net_bind_service"]);
                command.args(["--ambient-caps", "-all,+net_bind_service"]);
                command.args(["--bounding-set", "-all,+net_bind_service"]);
                command.arg("--no-new-privs");
            }
            Self::User(name) => {
                command.args(["--reuid", name, "--regid", name, "--clear-groups"]);
                command.args(["--inh-caps", "-all", "--bounding-set", "-all"]);
                command.arg("--no-new-privs");
            }
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }
}

/// A process of the node.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    identity: Identity,
    folder: PathBuf,
    notify: UnixDatagram,
    pid: Option<Pid>,
    restart_at: Option<Instant>,
    /// The next pause: doubles until the process gets ready.
    pause: Duration,
}

impl Daemon {
    /// Describes a process; nothing starts yet. Its log, its pid file and its notification socket are in `folder`.
    pub fn new(
        name: &'static str,
        program: PathBuf,
        arguments: Vec<OsString>,
        identity: Identity,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let path = folder.join("notify").join(name);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let notify =
            UnixDatagram::bind(&path).with_context(|| format!("cannot bind {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        notify.set_nonblocking(true)?;
        Ok(Self {
            name,
            program,
            arguments,
            identity,
            folder: folder.to_owned(),
            notify,
            pid: None,
            restart_at: None,
            pause: RESTART,
        })
    }

    /// The process's short name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The process that runs now.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// The socket that the process notifies, for poll(2).
    pub fn notifications(&self) -> &UnixDatagram {
        &self.notify
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log").join(format!("{}.log", self.name))
    }

    /// Starts it, without waiting.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let path = self.log();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let child = self
            .identity
            .command(&self.program)
            .args(&self.arguments)
            .env("NOTIFY_SOCKET", self.folder.join("notify").join(self.name))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        // Ends are collected by the host's own loop, so the handle is not kept.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        self.pid = Some(pid.context("a process without a number")?);
        self.restart_at = None;
        fs::write(
            self.folder.join("pid").join(self.name),
            child.id().to_string(),
        )
        .context("cannot write a pid file")
    }

    /// Waits until it says that it serves.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            if self.take_notifications() {
                return Ok(());
            }
            if self.reap() {
                bail!(
                    "{} ended before it was ready: {}",
                    self.name,
                    self.last_words()
                );
            }
            std::thread::sleep(LOOK);
        }
        bail!(
            "{} was not ready after {READY:?}: {}",
            self.name,
            self.last_words()
        )
    }

    /// Empties the notification socket, or a chatty process would block on it; whether `READY=1` was there.
    pub fn take_notifications(&mut self) -> bool {
        let mut ready = false;
        let mut buffer = [0; NOTIFICATION_MAX];
        while let Ok(length) = self.notify.recv(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            ready |= text.lines().any(|line| line == "READY=1");
        }
        if ready {
            self.pause = RESTART;
        }
        ready
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        process::last_lines(&String::from_utf8_lossy(&text))
    }

    fn reap(&mut self) -> bool {
        let Some(pid) = self.pid else { return true };
        if let Ok(None) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            false
        } else {
            self.pid = None;
            true
        }
    }

    /// It has ended by itself: note when to start it again.
    pub fn ended(&mut self) {
        self.pid = None;
        self.restart_at = Some(Instant::now() + self.pause);
        self.pause = RESTART_MAX.min(self.pause * 2);
    }

    /// When it has to be started again.
    pub fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }

    /// Whether it has to be started again now.
    pub fn is_due(&self) -> bool {
        self.restart_at.is_some_and(|at| at <= Instant::now())
    }

    /// Asks it to end, and makes it end after the grace.
    pub fn stop(&mut self) {
        self.restart_at = None;
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while !self.reap() {
            if Instant::now() > deadline {
                eprintln!(
                    "board: {} did not end in {GRACE:?} and is killed",
                    self.name
                );
                self.signal(Signal::KILL);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Has it read its files again, where it runs.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // It may have ended a moment ago; that is what was wanted.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        while !self.reap() {
            std::thread::sleep(LOOK);
        }
    }
}
