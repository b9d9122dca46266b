//! The box's ports, from outside.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::Node;
use board::line::Line;
use board::process;
use board_qemu::Forward;

use crate::application;

/// Ports on which something is often found that should not be there: remote shells, files, databases, consoles,
/// debuggers, resolvers; and the box's own on its inner side.
pub const CLOSED: [u16; 32] = [
    21, 23, 25, 69, 80, 110, 111, 135, 139, 143, 389, 445, 512, 513, 514, 631, 873, 1234, 1900,
    2049, 2375, 2376, 3306, 4444, 5000, 5353, 5355, 5432, 6379, 8080, 9090, 19531,
];
/// Longest wait for a connection's end: the box's answer takes milliseconds.
const ANSWER: Duration = Duration::from_secs(5);

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

/// A reading goes in by TLS and comes out without; it is retained, for after the next start.
pub fn the_box_answers_over_mqtt(line: &Line) -> anyhow::Result<()> {
    let publish = ["-t", "sensors/tide/level", "-m", "4.2", "-q", "1", "-r"];
    process::output(mosquitto(line, "mosquitto_pub", true, true).args(publish))?;
    mqtt_remembers(line)?;
    let anonymous = process::output(mosquitto(line, "mosquitto_pub", false, false).args(publish));
    ensure!(anonymous.is_err(), "anybody may publish");
    Ok(())
}

/// The reading is there.
pub fn mqtt_remembers(line: &Line) -> anyhow::Result<()> {
    let wait = ["-t", "sensors/tide/level", "-C", "1", "-W", "20"];
    let heard = process::output(mosquitto(line, "mosquitto_sub", false, true).args(wait))?;
    ensure!(heard.trim() == "4.2", "{heard}");
    Ok(())
}

/// Nobody listens where nobody should.
pub fn nothing_else_of_the_box_listens(forwards: &[Forward]) -> anyhow::Result<()> {
    for forward in forwards {
        // QEMU takes the connection and passes on what the box says to it: a refusal ends it at once.
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, forward.here))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut byte = [0];
        let silent = match stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        ensure!(silent, "something listens on port {}", forward.there);
    }
    Ok(())
}

/// What was deployed and said before is there after two cuts of the power and a reboot.
pub fn the_state_of_the_box_outlives_its_power(line: &Line, here: u16) -> anyhow::Result<()> {
    application::the_application_in_the_box_serves_its_page(here)?;
    the_box_answers_for_names(line)?;
    mqtt_remembers(line)
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
