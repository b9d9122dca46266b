//! The operator's door, through OpenSSH's own client.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// The account at the door.
pub const USER: &str = "admin";
/// Seconds until a connection must stand: an emulated box takes three for the key exchange.
const CONNECT: u32 = 30;

/// A way in: a place, a key, and the box's own key.
#[derive(Debug, Clone)]
pub struct Door {
    /// On loopback.
    pub port: u16,
    /// The private key that opens.
    pub identity: PathBuf,
    /// The box's key.
    pub known_hosts: PathBuf,
}

impl Door {
    /// The same door for who has another key.
    #[must_use]
    pub fn with(&self, identity: &Path) -> Self {
        Self {
            identity: identity.to_owned(),
            ..self.clone()
        }
    }

    /// `ssh`, which takes this key alone and no other way in, and nothing from the configuration of whoever runs it.
    pub fn ssh(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-T", "-p", &self.port.to_string(), "-i"]);
        command.arg(&self.identity);
        let known = format!("UserKnownHostsFile={}", self.known_hosts.display());
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "LogLevel=ERROR",
            &format!("ConnectTimeout={CONNECT}"),
            // A box that is reset says nothing on its old connections, and nothing ends them.
            "ServerAliveInterval=10",
            "ServerAliveCountMax=3",
            &known,
        ] {
            command.args(["-o", option]);
        }
        command.arg(format!("{USER}@{}", Ipv4Addr::LOCALHOST));
        command.args(words);
        command
    }

    /// Says a verb; `input` is its standard input.
    ///
    /// # Errors
    /// ssh cannot be run; a verb that is refused is an answer.
    pub fn say(&self, words: &[&str], input: Option<&Path>) -> anyhow::Result<Output> {
        let stdin = match input {
            Some(path) => fs::File::open(path)
                .with_context(|| format!("cannot read {}", path.display()))?
                .into(),
            None => Stdio::null(),
        };
        self.ssh(words)
            .stdin(stdin)
            .output()
            .context("cannot run ssh; install openssh-client")
    }

    /// The same, where a refusal is an error.
    ///
    /// # Errors
    /// The box's own sentence.
    pub fn told(&self, words: &[&str], input: Option<&Path>) -> anyhow::Result<String> {
        told(words, self.say(words, input)?)
    }

    /// How updates of the box stand (`update status -o json`).
    ///
    /// # Errors
    /// It does not answer, or not in JSON.
    pub fn update_status(&self) -> anyhow::Result<Value> {
        // Its exit code says whether all is well, which is no refusal to answer.
        let answer = self.say(&["update", "status", "-o", "json"], None)?;
        serde_json::from_slice(&answer.stdout)
            .with_context(|| String::from_utf8_lossy(&answer.stderr).trim().to_owned())
            .context("the box does not say how its updates stand")
    }
}

/// What the box answered; its own sentence where it refused.
pub fn told(words: &[&str], answer: Output) -> anyhow::Result<String> {
    if !answer.status.success() {
        let why = String::from_utf8_lossy(&answer.stderr).into_owned();
        bail!("the box refuses `{}`: {}", words.join(" "), why.trim());
    }
    String::from_utf8(answer.stdout).context("the box did not answer in UTF-8")
}

/// Whether the door itself refused the key: ssh(1)'s words.
pub fn is_refused_key(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("Permission denied (publickey)")
}

/// Writes the box's key for ssh(1).
///
/// # Errors
/// The file cannot be written.
pub fn write_known_hosts(file: &Path, port: u16, key: &str) -> anyhow::Result<()> {
    let line = format!("[{}]:{port} {key}\n", Ipv4Addr::LOCALHOST);
    fs::write(file, line).with_context(|| format!("cannot write {}", file.display()))
}
