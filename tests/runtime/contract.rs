//! The line that `cargo board host` prints, and that it is true.

use std::process::Command;

use anyhow::ensure;
use board::client::Node;
use umec_tests::lab::{fetch, programs};

#[test]
fn everything_the_line_names_answers() -> anyhow::Result<()> {
    let node = Node::start(&programs()?, |command| {
        command.arg("--plain-http");
    })?;
    let line = &node.line;
    let http = line.http.as_deref().unwrap_or_default();
    ensure!(fetch(&format!("{http}/readyz")).is_ok(), "plain HTTP");
    let https = board::process::output(
        Command::new("curl")
            .args(["-sSf", "--max-time", "3", "--noproxy", "*", "--cacert"])
            .arg(&line.ca)
            .arg(format!("{}/healthz", line.https)),
    );
    ensure!(
        https.is_ok(),
        "HTTPS by the node's own authority: {https:?}"
    );
    ensure!(node.verb(&["status"]).is_ok(), "the operator's door");
    let soa = node.dig("edge.mec.internal", "SOA")?;
    ensure!(!soa.is_empty(), "the resolver knows its zone");
    let said = node
        .mosquitto("mosquitto_pub")
        .args(["-t", "sensors/a/b", "-m", "1"])
        .status()?;
    ensure!(said.success(), "the operator may speak as a sensor");
    let unnamed = Command::new("mosquitto_pub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &line.mqtt.port.to_string(),
            "-t",
            "sensors/a/b",
            "-m",
            "1",
        ])
        .output()?;
    ensure!(
        !unnamed.status.success(),
        "a client without an account got in"
    );
    ensure!(line.http.is_some() && line.netns.is_none() && line.ready);
    node.stop()
}

#[test]
fn two_nodes_run_side_by_side() -> anyhow::Result<()> {
    let one = Node::start(&programs()?, |_| {})?;
    let two = Node::start(&programs()?, |_| {})?;
    ensure!(one.line.app_subnet != two.line.app_subnet && one.line.dir != two.line.dir);
    ensure!(one.verb(&["status"]).is_ok() && two.verb(&["status"]).is_ok());
    one.stop()?;
    ensure!(
        two.verb(&["status"]).is_ok(),
        "the end of one node took the other with it"
    );
    two.stop()
}

#[test]
fn a_stranger_s_key_does_not_open_the_door() -> anyhow::Result<()> {
    let node = Node::start(&programs()?, |_| {})?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    board::process::output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
    )?;
    let ssh = |identity: &std::path::Path| {
        let door = &node.line.ssh;
        Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", door.known_hosts.display()))
            .arg("-i")
            .arg(identity)
            .args([
                "-p",
                &door.port.to_string(),
                &format!("{}@{}", door.user, door.host),
                "ps",
            ])
            .output()
    };
    let stranger = ssh(&key)?;
    ensure!(!stranger.status.success());
    let told = String::from_utf8_lossy(&stranger.stderr).into_owned();
    ensure!(told.contains("Permission denied"), "{told}");
    let operator = ssh(&node.line.ssh.identity)?;
    ensure!(
        operator.status.success(),
        "{}",
        String::from_utf8_lossy(&operator.stderr)
    );
    node.stop()
}
