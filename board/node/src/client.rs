//! A node seen from outside: started as a process, used through its line of JSON.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

use crate::line::Line;
use crate::process;

/// Names how many times longer waiting for a state may take: an emulated machine is ten times slower than ours.
pub const PATIENCE: &str = "BOARD_PATIENCE";
/// Longest end of a node: three processes with their grace, and a purge.
const END: Duration = Duration::from_secs(40);
/// How often an end is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// A node that runs as long as this value lives.
#[derive(Debug)]
pub struct Node {
    child: Option<Child>,
    /// Where everything is.
    pub line: Line,
    programs: PathBuf,
}

impl Node {
    /// Starts `cargo board host` and waits for its line. `programs` holds the built programs, `board` among them.
    ///
    /// # Errors
    /// It ends before it serves.
    pub fn start(programs: &Path, configure: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let mut command = Command::new(programs.join("board"));
        command.arg("host").arg("--no-install");
        command.arg("--programs").arg(programs);
        configure(&mut command);
        Self::of(command, programs)
    }

    /// The same in QEMU: `cargo board qemu`.
    ///
    /// # Errors
    /// It ends before it serves.
    pub fn boot(programs: &Path, configure: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let mut command = Command::new(programs.join("board"));
        command.arg("qemu").arg("--no-install");
        configure(&mut command);
        Self::of(command, programs)
    }

    fn of(mut command: Command, programs: &Path) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start board")?;
        let mut text = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut text)?;
        }
        if text.is_empty() {
            let status = child.wait()?;
            bail!("the node did not start: {status}; its reason is above");
        }
        let line =
            serde_json::from_str(&text).with_context(|| format!("not a node's line: {text}"))?;
        Ok(Self {
            child: Some(child),
            line,
            programs: programs.to_owned(),
        })
    }

    /// `edgectl`, told how to reach this node.
    pub fn edgectl(&self, words: &[&str]) -> Command {
        let ssh = &self.line.ssh;
        let mut command = Command::new(self.programs.join("edgectl"));
        command
            .args(["--host", &format!("{}@{}:{}", ssh.user, ssh.host, ssh.port)])
            .arg("--identity")
            .arg(&ssh.identity)
            .arg("--known-hosts")
            .arg(&ssh.known_hosts)
            .args(words);
        command
    }

    /// Runs an operator's verb and returns what it printed.
    pub fn verb(&self, words: &[&str]) -> anyhow::Result<String> {
        process::output(&mut self.edgectl(words))
    }

    /// `mosquitto_pub` or `mosquitto_sub` with the operator's account.
    pub fn mosquitto(&self, program: &str) -> Command {
        let mqtt = &self.line.mqtt;
        let mut command = Command::new(program);
        command
            .args(["-h", &mqtt.host.to_string(), "-p", &mqtt.port.to_string()])
            .args(["-u", &mqtt.user, "-P", &mqtt.password]);
        command
    }

    /// The addresses that the node's resolver has for a name.
    pub fn dig(&self, name: &str, kind: &str) -> anyhow::Result<Vec<String>> {
        let dns = &self.line.dns;
        let answer = process::output(
            Command::new("dig")
                .args(["+short", "+tries=1", "+time=2"])
                .arg(format!("@{}", dns.host))
                .args(["-p", &dns.port.to_string(), name, kind]),
        )?;
        Ok(answer.lines().map(str::to_owned).collect())
    }

    /// The process number of `edged`, `worker`, `guardian` or `broker` now, of a node on this machine.
    pub fn pid(&self, name: &str) -> anyhow::Result<i32> {
        let path = self.line.dir.join("pid").join(name);
        std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim()
            .parse()
            .with_context(|| format!("{}", path.display()))
    }

    /// Kills one of the node's processes with SIGKILL, and waits until another one has taken its place.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid(name)?;
        signal(pid, Signal::KILL)?;
        until(Duration::from_secs(10), || {
            Ok((self.pid(name)? != pid).then_some(()))
        })
        .with_context(|| format!("{name} was not started again"))
    }

    /// Ends the node and says whether it ended well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        signal(i32::try_from(child.id())?, Signal::TERM)?;
        let status = until(END, || Ok(child.try_wait()?)).context("the node did not end")?;
        if !status.success() {
            bail!("the node ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))?;
    rustix::process::kill_process(pid, signal).with_context(|| format!("cannot signal {pid:?}"))
}

fn patience() -> u32 {
    let told = std::env::var(PATIENCE).ok();
    told.and_then(|times| times.parse().ok())
        .unwrap_or(1)
        .max(1)
}

/// Asks until there is an answer; an error is an answer that is not there yet. [`PATIENCE`] makes it longer.
pub fn until<T>(
    longest: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let longest = longest * patience();
    let deadline = Instant::now() + longest;
    loop {
        let last = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > deadline {
            return match last {
                Some(error) => Err(error.context(format!("not there after {longest:?}"))),
                None => bail!("not there after {longest:?}"),
            };
        }
        std::thread::sleep(LOOK);
    }
}
