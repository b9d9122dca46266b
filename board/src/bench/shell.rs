//! A shell that is there already: peers are started from it, so that only they are measured.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::host::dies_with_us;
use crate::process;

/// Runs each line it reads and writes its exit code. The empty version 2 hierarchy beside version 1 is taken out of
/// its own mount namespace: crun refuses to work while it is there.
const LOOP: &str = "umount /sys/fs/cgroup/unified 2>/dev/null
ip link set lo up
echo ready
while read -r line; do eval \"$line\" </dev/null >\"$0\" 2>&1; echo $?; done";

/// A shell in a mount namespace of its own, with a network of its own where asked for.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    lines: ChildStdin,
    codes: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Shell {
    /// Starts one whose commands write into a log of the folder.
    pub fn start(folder: &Path, name: &str) -> anyhow::Result<Self> {
        Self::with(folder, name, &["--mount"])
    }

    /// The same, and no link or firewall rule of its commands is the machine's.
    pub fn with_network(folder: &Path, name: &str) -> anyhow::Result<Self> {
        Self::with(folder, name, &["--mount", "--net"])
    }

    fn with(folder: &Path, name: &str, namespaces: &[&str]) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut child = dies_with_us(Path::new("unshare"))
            .args(namespaces)
            .args(["--propagation", "private", "sh", "-c", LOOP])
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let (lines, codes) = (child.stdin.take(), child.stdout.take());
        let mut shell = Self {
            child,
            lines: lines.context("no input")?,
            codes: BufReader::new(codes.context("no output")?),
            log,
        };
        shell.answer()?;
        Ok(shell)
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.codes.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Runs a line and says how long it took; an error carries what it wrote.
    pub fn run(&mut self, line: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        writeln!(self.lines, "{line}").context("the shell has gone")?;
        let code = self.answer()?;
        let took = begun.elapsed();
        if code != "0" {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!("ended with {code}: {}", process::last_lines(&log));
        }
        Ok(took)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It keeps nothing that a sudden end would harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
