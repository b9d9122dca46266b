//! The broker of a node: mosquitto as its package's user, with the files that edged writes for it.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use edged_config::Config;

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

/// The certificate, which edged renews.
const CERTIFICATE: &str = "server.pem";

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

/// Has edged write the files for this node's listeners, and hands them to the broker's user. Accounts of an earlier
/// run are kept: they are the broker's.
pub fn prepare(
    folder: &Folder,
    config: &Config,
    ports: Ports,
    edged: &mut Command,
) -> anyhow::Result<()> {
    let to = folder.path.join("broker");
    for (place, name) in [("broker", CERTIFICATE), ("tls", "server.key")] {
        let from = folder.edged(place).join(name);
        fs::copy(&from, to.join(name))
            .with_context(|| format!("edged has not written {}", from.display()))?;
    }
    let gateway = config.addressing()?.gateway4;
    edged.arg("mosquitto").arg("--folder").arg(&to);
    for plain in [
        format!("127.0.0.1:{}", ports.mqtt),
        format!("{gateway}:{}", config.mqtt.app_port),
    ] {
        edged.args(["--listen", &plain]);
    }
    edged.args(["--listen-tls", &format!("127.0.0.1:{}", ports.mqtts)]);
    edged.arg("--certificate").arg(to.join(CERTIFICATE));
    edged.arg("--key").arg(to.join("server.key"));
    process::output(edged)?;
    hand_over(&to)
}

/// Gives the broker the certificate that edged has renewed since, and has it read it: connections stay.
pub fn renew(folder: &Folder, broker: &Daemon) -> anyhow::Result<()> {
    let (from, to) = (
        folder.edged("broker").join(CERTIFICATE),
        folder.path.join("broker"),
    );
    let certificate = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let (kept, new) = (to.join(CERTIFICATE), to.join("server.pem.new"));
    if fs::read(&kept).is_ok_and(|kept| kept == certificate) {
        return Ok(());
    }
    fs::write(&new, certificate).with_context(|| format!("cannot write {}", new.display()))?;
    hand_over(&to)?;
    fs::rename(&new, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    broker.hang_up();
    Ok(())
}

fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let uid: u32 = process::output(Command::new("id").args(["-u", USER]))?
        .trim()
        .parse()
        .context("id -u mosquitto")?;
    chown(folder, Some(uid), None)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        chown(&path, Some(uid), None)?;
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
