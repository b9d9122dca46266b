//! A node that begins with services and rules, and its operator.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use board::line::Line;
use board::process;
use serde_json::{Value, json};
use umec_tests::images;
use umec_tests::lab::Lab;

/// Whose rules are changed.
pub const RULED: &str = "5f0a9f0e-64c5-4b3c-8a4e-6a2f0c9c7d01";
/// Whose rules wait: it does not run.
pub const WAITING: &str = "5f0a9f0e-64c5-4b3c-8a4e-6a2f0c9c7d02";

/// A node with a seed.
#[derive(Debug)]
pub struct Seeded(Lab);

/// How a verb ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn done(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0) && self.err.is_empty(), "{self:?}");
        Ok(self.out)
    }

    /// Wants a refusal in one sentence with a hint, each of which says something.
    pub fn refused(self, sentence: &str, hint: &str) -> anyhow::Result<()> {
        let lines: Vec<&str> = self.err.lines().collect();
        let [error, next] = lines[..] else {
            anyhow::bail!("{self:?}")
        };
        ensure!(
            self.code == Some(1)
                && self.out.is_empty()
                && error.starts_with("error: ")
                && error.contains(sentence)
                && next.starts_with("  hint: ")
                && next.contains(hint),
            "{self:?}"
        );
        Ok(())
    }
}

pub fn drops(id: &str, port: u16, priority: u8, state: &str) -> Value {
    json!({"trafficRuleId": id, "filterType": "PACKET", "priority": priority, "action": "DROP", "state": state,
        "trafficFilter": [{"dstPort": [port.to_string()], "protocol": ["udp"]}]})
}

pub fn names(id: &str, address: &str, ttl: u32, state: &str) -> Value {
    json!({"dnsRuleId": id, "domainName": format!("{id}.example.org"), "ipAddressType": "IP_V4",
        "ipAddress": address, "ttl": ttl, "state": state})
}

fn offers(id: &str, name: &str) -> Value {
    json!({"serInstanceId": id, "serName": name, "version": "1.2", "state": "ACTIVE", "serializer": "JSON",
        "transportInfo": {"id": "t", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1",
            "endpoint": {"uris": [format!("http://{id}.example.org/")]}, "security": {}}})
}

fn seed() -> Value {
    json!({"instances": [
        {"appInstanceId": RULED, "appName": "ruled", "running": true,
            "trafficRules": [drops("last", 9, 10, "INACTIVE"), drops("first", 7, 3, "ACTIVE")],
            "dnsRules": [names("maps", "192.0.2.80", 60, "INACTIVE")],
            "services": [offers("camera-1", "camera"), offers("meter-1", "meter"), offers("meter-2", "meter")]},
        {"appInstanceId": WAITING, "appName": "waiting", "running": false,
            "trafficRules": [drops("early", 9, 10, "ACTIVE")],
            "dnsRules": [names("tiles", "192.0.2.81", 30, "INACTIVE")]},
    ]})
}

impl Seeded {
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("seed.json");
        std::fs::write(&file, seed().to_string())?;
        let lab = Lab::start_with(|command| {
            command.arg("--seed").arg(&file);
        })?;
        Ok(Self(lab))
    }

    /// Runs an application that keeps quiet and offers a service; its id.
    pub fn run_with_service(&self, name: &str, service: &str) -> anyhow::Result<String> {
        let idle = |layout: &Path| images::busybox(layout, "while :; do sleep 100000; done");
        let image = self.0.image("idle", idle)?;
        let options = ["--stop-signal", "KILL", "--service", service];
        self.0.run(name, &options, &image)?;
        let shown = self.0.inspect(name)?;
        let id = shown.get("id").and_then(Value::as_str);
        Ok(id.context("no id")?.to_owned())
    }

    pub fn end(self) -> anyhow::Result<()> {
        self.0.node.stop()
    }

    /// Where it answers.
    pub fn line(&self) -> &Line {
        &self.0.node.line
    }

    /// A verb with `edgectl`, without input.
    pub fn says(&self, words: &[&str]) -> anyhow::Result<Said> {
        said(&mut self.0.node.edgectl(words), "")
    }

    /// A verb that reads a rule.
    pub fn reads(&self, words: &[&str], rule: &Value) -> anyhow::Result<Said> {
        said(&mut self.0.node.edgectl(words), &rule.to_string())
    }

    /// The same verb with the ssh of the machine.
    pub fn ssh(&self, line: &str, input: &str) -> anyhow::Result<Said> {
        let door = &self.0.node.line.ssh;
        let known = format!("UserKnownHostsFile={}", door.known_hosts.display());
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", &known, "-i"])
            .arg(&door.identity)
            .args(["-p", &door.port.to_string()])
            .args([&format!("{}@{}", door.user, door.host), line]);
        said(&mut command, input)
    }

    /// A verb that lists, as rows of cells under the heading.
    pub fn rows(&self, words: &[&str]) -> anyhow::Result<Vec<Vec<String>>> {
        let shown = self.says(words)?.done()?;
        let mut rows = shown.lines().map(|line| {
            let cells = line.split("   ").map(str::trim);
            let cells = cells.filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        });
        rows.next().context("no heading")?;
        Ok(rows.collect())
    }

    /// A rule as the kernel has it; `None` where it has none.
    pub fn in_kernel(&self, owner: &str, id: &str) -> anyhow::Result<Option<String>> {
        let shown = process::output(Command::new("nft").args(["list", "ruleset"]))?;
        let tag = format!("mec{}", self.tag()?);
        let comment = format!("comment \"{owner} {id}\"");
        // Other nodes of the machine have tables of their own, and the same seed.
        let ours = shown.split("\ntable ").find(|table| table.contains(&tag));
        let ours = ours.with_context(|| format!("no table of {tag}"))?;
        let line = ours.lines().find(|line| line.ends_with(&comment));
        Ok(line.map(|line| line.trim().to_owned()))
    }

    fn tag(&self) -> anyhow::Result<String> {
        let name = self.0.node.line.dir.to_string_lossy().into_owned();
        let (_, tag) = name.rsplit_once('-').context("not a temporary folder")?;
        Ok(tag.to_owned())
    }

    pub fn dig(&self, name: &str) -> anyhow::Result<Vec<String>> {
        self.0.node.dig(name, "A")
    }
}

pub fn said(command: &mut Command, input: &str) -> anyhow::Result<Said> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A verb that reads nothing may have ended before this.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}
