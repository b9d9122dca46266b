//! The box's ports, from outside.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use board::client::{Node, until};
use board::line::Line;
use board::process;
use umec_tests::tls::shown_at;

use crate::application;

/// How long a certificate of the box lasts (docs/trust.md).
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much the clock of a box may differ from the machine's: it counts whole seconds.
const CLOCK: Duration = Duration::from_secs(2);
/// Until edged, which serves, has made a certificate and the broker has it: the TPM signs it.
const SOON: Duration = Duration::from_secs(30);

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

/// The broker begins with the certificate that lies on the disk, of the box's last start, and edged, once it is connected,
/// makes another one, which lasts a week from then: whoever connects soon sees that.
pub fn the_broker_of_the_box_takes_a_new_certificate(
    line: &Line,
    started: Instant,
) -> anyhow::Result<()> {
    until(SOON, || {
        let place = format!("{}:{}", line.mqtt.host, line.mqtt.tls_port);
        let shown = shown_at(&place, &line.ca, |_| {})?;
        let since = started.elapsed().saturating_sub(CLOCK);
        let is_new = is_good_in(&shown, WEEK.saturating_sub(since))?;
        ensure!(!is_good_in(&shown, WEEK + CLOCK)?, "it lasts longer");
        Ok(is_new.then_some(()))
    })
}

fn is_good_in(certificate: &str, time: Duration) -> anyhow::Result<bool> {
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-checkend"])
        .arg(time.as_secs().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = openssl.stdin.take() {
        stdin.write_all(certificate.as_bytes())?;
    }
    Ok(openssl.wait()?.success())
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
