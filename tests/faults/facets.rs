//! All that an application is in the world: there as a whole, or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use board::client::until;
use board::process;
use serde_json::Value;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};
use umec_tests::world::Eye;

/// Options that give an application every facet there is. Its first process ignores SIGTERM, as one without a handler
/// does in a namespace of its own, and is not waited for.
pub const EVERY_FACET: [&str; 8] = [
    "--stop-timeout",
    "0",
    "--health-http",
    "8080/",
    "--mqtt-subscribe",
    "sensors/#",
    "--service",
    "web:8080",
];

/// A web server of one page.
pub fn web(lab: &Lab) -> anyhow::Result<String> {
    lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })
}

/// A text of an application's document.
pub fn text(lab: &Lab, name: &str, key: &str) -> anyhow::Result<String> {
    let shown = lab.inspect(name)?;
    let text = shown.get(key).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("{name} has no {key}: {shown}"))?
        .to_owned())
}

/// Waits until an application is in a state; its document then.
pub fn wait_state(lab: &Lab, name: &str, state: &str) -> anyhow::Result<Value> {
    until(SOON, || {
        let shown = lab.inspect(name)?;
        let now = shown.get("state").and_then(Value::as_str);
        ensure!(now == Some(state), "{name} is not {state}: {shown}");
        Ok(Some(shown))
    })
}

/// A file of the container's secrets, read from outside.
pub fn secret(lab: &Lab, name: &str, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{}/root/run/secrets/{file}", lab.init_of(name)?);
    fs::read_to_string(&path).with_context(|| path)
}

/// Publishes as the application would, with its own account.
pub fn publish_as(lab: &Lab, name: &str) -> anyhow::Result<()> {
    let mqtt = &lab.node.line.mqtt;
    let (id, password) = (text(lab, name, "id")?, secret(lab, name, "mqtt-password")?);
    process::output(
        Command::new("mosquitto_pub")
            .args(["-h", &mqtt.host.to_string(), "-p", &mqtt.port.to_string()])
            .args(["-u", &id, "-P", password.trim_end(), "-i", &id])
            .args(["-q", "1", "-t", &format!("apps/{id}/x"), "-m", "x"]),
    )
    .map(drop)
}

/// Every facet is there: state, name, page, account, rules.
pub fn whole(lab: &Lab, name: &str) -> anyhow::Result<()> {
    lab.wait_ready(name)?;
    let address = text(lab, name, "v4")?;
    ensure!(lab.address(name)? == address, "the name leads elsewhere");
    ensure!(lab.get(name, 8080, "/")? == "busybox speaking\n");
    publish_as(lab, name).context("no account")?;
    ensure!(rules(lab)?.contains(&address), "no rules of {address}");
    Ok(())
}

/// The firewall's table of the node, without its counters.
pub fn rules(lab: &Lab) -> anyhow::Result<String> {
    let folder = lab.node.line.dir.to_string_lossy().into_owned();
    let (_, tag) = folder.rsplit_once('-').context("not a temporary folder")?;
    process::output(Command::new("nft").args([
        "--stateless",
        "list",
        "table",
        "inet",
        &format!("mec{tag}"),
    ]))
}

/// The node without any application, after its first one has been there: folders that all share stay.
pub struct Empty {
    eye: Eye,
    lines: BTreeSet<String>,
    rules: String,
}

impl Empty {
    /// Runs and removes an application; what is left is what an empty node has, and nothing of that application.
    pub fn after_first(lab: &Lab, image: &str) -> anyhow::Result<Self> {
        lab.run("first", &EVERY_FACET, image)?;
        whole(lab, "first")?;
        let (id, address) = (text(lab, "first", "id")?, text(lab, "first", "v4")?);
        lab.node.verb(&["rm", "--force", "first"])?;
        let eye = Eye::new(&lab.node.line)?;
        until(SOON, || {
            let lines = without_own(eye.look()?);
            let left = lines
                .iter()
                .find(|line| line.contains(&id) || line.contains(&format!("{address} ")));
            ensure!(left.is_none(), "left behind: {left:?}");
            let (eye, rules) = (eye.clone(), rules(lab)?);
            Ok(Some(Self { eye, lines, rules }))
        })
    }

    /// Waits until nothing else is there, in the kernel, on the broker, and in edged's own lists.
    pub fn again(&self, lab: &Lab) -> anyhow::Result<()> {
        until(SOON, || {
            let listed = lab.node.verb(&["ps", "-o", "json"])?;
            ensure!(listed.trim() == "[]", "still listed: {listed}");
            let now = without_own(self.eye.look()?);
            let left: Vec<_> = now.difference(&self.lines).collect();
            ensure!(left.is_empty(), "left behind: {left:#?}");
            let rules = rules(lab)?;
            ensure!(rules == self.rules, "rules left behind: {rules}");
            let accounts = lab.node.line.dir.join("broker/dynamic-security.json");
            let accounts = fs::read_to_string(accounts)?;
            ensure!(!accounts.contains("app-"), "an account is left behind");
            Ok(Some(()))
        })
    }
}

/// The node's own processes are started again in these tests, and have other numbers then. Link-local routes come when
/// the kernel has finished its search for duplicates; links themselves are looked at.
fn without_own(mut lines: BTreeSet<String>) -> BTreeSet<String> {
    let process = |line: &String| {
        line.starts_with("process") && (line.contains("/bin/edged") || line.contains("mosquitto "))
    };
    let link_local = |line: &String| line.starts_with("route") && line.contains("fe80:");
    lines.retain(|line| !process(line) && !link_local(line));
    lines
}
