//! The box's ports, from outside.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use board::client::Node;
use board::line::Line;
use board::process;

use crate::application;

/// A name that the box is authoritative for, over UDP and TCP.
pub fn the_box_answers_for_names(line: &Line) -> anyhow::Result<()> {
    for protocol in ["+notcp", "+tcp"] {
        let answer = process::output(
            Command::new("dig")
                .args(["+short", "+tries=2", "+time=5", protocol])
                .arg(format!("@{}", line.dns.host))
                .args(["-p", &line.dns.port.to_string()])
                .args(["page.app.edge.mec.internal", "A"]),
        )?;
        let (network, _) = line.app_subnet.rsplit_once('.').context("no subnet")?;
        ensure!(
            answer.trim().starts_with(network),
            "{protocol}: `{}` is not in {}",
            answer.trim(),
            line.app_subnet
        );
    }
    Ok(())
}

/// HTTPS with the certificate that the box's own authority signed.
pub fn the_box_answers_over_https(line: &Line) -> anyhow::Result<()> {
    let get = |path: &str, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20"]);
        curl.args(["--noproxy", "*", "--cacert"]).arg(&line.ca);
        process::output(curl.args(more).arg(format!("{}{path}", line.https)))
    };
    get("/readyz", &[])?;
    let bearer = format!("Authorization: Bearer {}", line.token);
    let services = get("/mec_service_mgmt/v1/services", &["--header", &bearer])?;
    ensure!(services.trim_start().starts_with('['), "{services}");
    ensure!(
        get("/mec_service_mgmt/v1/services", &[]).is_err(),
        "it answers without a token"
    );
    Ok(())
}

fn mosquitto(line: &Line, program: &str, tls: bool, account: bool) -> Command {
    let mqtt = &line.mqtt;
    let port = if tls { mqtt.tls_port } else { mqtt.port };
    let mut command = Command::new(program);
    command.args(["-h", &mqtt.host.to_string(), "-p", &port.to_string()]);
    if tls {
        command.arg("--cafile").arg(&line.ca);
    }
    if account {
        command.args(["-u", &mqtt.user, "-P", &mqtt.password]);
    }
    command
}

/// A reading goes in by TLS and comes out without.
pub fn the_box_answers_over_mqtt(line: &Line) -> anyhow::Result<()> {
    let publish = ["-t", "sensors/tide/level", "-m", "4.2", "-q", "1", "-r"];
    process::output(mosquitto(line, "mosquitto_pub", true, true).args(publish))?;
    let heard = retained(line, "sensors/tide/level")?;
    ensure!(heard.trim() == "4.2", "{heard}");
    let anonymous = process::output(mosquitto(line, "mosquitto_pub", false, false).args(publish));
    ensure!(anonymous.is_err(), "anybody may publish");
    Ok(())
}

/// What the broker has of a topic; edged tells it the state of each instance, which may take a moment.
fn retained(line: &Line, topic: &str) -> anyhow::Result<String> {
    let wait = ["-t", topic, "-C", "1", "-W", "60"];
    process::output(mosquitto(line, "mosquitto_sub", false, true).args(wait))
}

/// The broker knows the application that was deployed before the box lost its power. (It keeps nothing of what others say
/// to it: edged tells it anew.)
fn mqtt_knows_the_application(line: &Line) -> anyhow::Result<()> {
    let event = retained(line, "events/instances/#")?;
    ensure!(event.contains("page"), "{event}");
    Ok(())
}

/// What was deployed and said before is there after two cuts of the power and a reboot.
pub fn the_state_of_the_box_outlives_its_power(line: &Line, here: u16) -> anyhow::Result<()> {
    application::the_application_in_the_box_serves_its_page(here)?;
    the_box_answers_for_names(line)?;
    mqtt_knows_the_application(line)
}

/// After SIGTERM its ports are closed, and no process, socket or mount is left.
pub fn a_box_that_ends_leaves_nothing(node: Node) -> anyhow::Result<()> {
    let line = node.line.clone();
    node.stop()?;
    for port in [line.ssh.port, line.dns.port, line.mqtt.port] {
        ensure!(
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(),
            "port {port} is still open"
        );
    }
    let folder = line.dir.to_string_lossy().into_owned();
    let shown = process::output(
        Command::new("ps")
            .args(["-eo", "pid,args"])
            .stdin(Stdio::null()),
    )?;
    let left = shown
        .lines()
        .find(|process| process.contains(&folder) && process.contains("qemu-system"));
    ensure!(left.is_none(), "{left:?}");
    let sockets = std::fs::read_dir(&line.dir)?.flatten();
    let socket = sockets
        .map(|entry| entry.file_name())
        .find(|name| name.to_string_lossy().ends_with(".sock"));
    ensure!(socket.is_none(), "{socket:?} is left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(&folder), "a mount is left");
    Ok(())
}
