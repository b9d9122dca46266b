//! The broker of a node: mosquitto as its package's user, with the files that edged writes for it.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::OPERATOR;
use super::daemon::{Daemon, Identity};
use super::folder::Folder;
use super::place::Ports;
use crate::line;
use crate::process;

/// The user that Debian's package makes.
const USER: &str = "mosquitto";
/// Where Debian's package puts it; /usr/sbin is not in every PATH.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// The broker as a process of the node.
pub fn daemon(folder: &Folder) -> anyhow::Result<Daemon> {
    let config = folder.path.join("broker/mosquitto.conf");
    Daemon::new(
        "broker",
        PathBuf::from(PROGRAM),
        vec!["-c".into(), config.into()],
        Identity::User(USER),
        &folder.path,
    )
}

/// Hands the files that edged wrote to the broker's user. Accounts of an earlier run are kept: they are the broker's.
pub fn hand_over(folder: &Folder) -> anyhow::Result<()> {
    let uid: u32 = process::output(Command::new("id").args(["-u", USER]))?
        .trim()
        .parse()
        .context("id -u mosquitto")?;
    let to = folder.path.join("broker");
    chown(&to, Some(uid), None)?;
    fs::set_permissions(&to, Permissions::from_mode(0o700))?;
    let files = [
        ("broker/mosquitto.conf", "mosquitto.conf", true),
        (
            "broker/dynamic-security.json",
            "dynamic-security.json",
            false,
        ),
        ("tls/ca.pem", "ca.pem", true),
        ("tls/server.pem", "server.pem", true),
        ("tls/server.key", "server.key", true),
    ];
    for (from, name, replace) in files {
        let (from, to) = (folder.edged(from), to.join(name));
        if to.exists() && !replace {
            continue;
        }
        fs::copy(&from, &to)
            .with_context(|| format!("edged has not written {}", from.display()))?;
        fs::set_permissions(&to, Permissions::from_mode(0o600))?;
        chown(&to, Some(uid), None)?;
    }
    Ok(())
}

/// The operator's account.
pub fn line(folder: &Folder, host: IpAddr, ports: Ports) -> anyhow::Result<line::Mqtt> {
    let path = folder.edged("mqtt-operator-password");
    let password = fs::read_to_string(&path)
        .with_context(|| format!("edged has not written {}", path.display()))?;
    Ok(line::Mqtt {
        host,
        port: ports.mqtt,
        tls_port: ports.mqtts,
        user: OPERATOR.to_owned(),
        password: password.trim().to_owned(),
    })
}
