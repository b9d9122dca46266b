//! A node's folder: configuration, keys, programs, logs.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use edged_config::{
    Config, Dns, Http, Mqtt, Network, Node, Notifications, Packages, Registries, Ssh, Tpm, Trust,
};

use super::place::Place;
use super::{MQTT_ADMIN, OPERATOR, Options};
use crate::process;

/// A user id of no account (Debian Policy 9.2.2 leaves 60000-64999 to packages that ask; nobody asks for this one).
pub const EDGED_UID: u32 = 64_900;

/// A node's folder, made.
#[derive(Debug)]
pub struct Folder {
    /// The folder itself.
    pub path: PathBuf,
    /// Whether it goes when the node goes.
    temporary: bool,
}

impl Folder {
    /// Makes the folders; a temporary one where no path is given.
    pub fn make(path: Option<&Path>, place: &Place) -> anyhow::Result<Self> {
        let temporary = path.is_none();
        let path = match path {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("edged-{}", place.tag)),
        };
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let path = path.canonicalize()?;
        let folder = Self { path, temporary };
        folder.check_reachable()?;
        for name in ["bin", "broker", "log", "notify", "pid", "run", "state"] {
            folder.sub(name, None)?;
        }
        folder.sub("state/edged", Some(EDGED_UID))?;
        Ok(folder)
    }

    /// edged runs as a user of its own and must be able to walk to its folder.
    fn check_reachable(&self) -> anyhow::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(0o755))?;
        for parent in self.path.ancestors().skip(1) {
            if fs::metadata(parent)?.permissions().mode() & 0o001 == 0 {
                bail!(
                    "{} is closed to other users, and edged runs as one: choose another --dir, or chmod o+x it",
                    parent.display()
                );
            }
        }
        Ok(())
    }

    fn sub(&self, name: &str, owner: Option<u32>) -> anyhow::Result<()> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let mode = if owner.is_some() { 0o700 } else { 0o755 };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        if owner.is_some() {
            chown(&path, owner, owner)?;
        }
        Ok(())
    }

    /// The configuration file of the three processes.
    pub fn config(&self) -> PathBuf {
        self.path.join("edged.toml")
    }

    /// The private key of the operator.
    pub fn identity(&self) -> PathBuf {
        self.path.join("operator")
    }

    /// The node's public key as ssh(1) wants it.
    pub fn known_hosts(&self) -> PathBuf {
        self.path.join("known_hosts")
    }

    /// A file that edged keeps.
    pub fn edged(&self, name: &str) -> PathBuf {
        self.path.join("state").join("edged").join(name)
    }

    /// Puts a program where edged's user can run it (the checkout may be in a closed home folder), and where a later
    /// build does not change it under a running node: as a hard link, or as a copy on another file system.
    pub fn program(&self, built: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let (from, to) = (built.join(name), self.path.join("bin").join(name));
        if to.exists() {
            fs::remove_file(&to)?;
        }
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        Ok(to)
    }

    /// Writes the configuration and returns it.
    pub fn configure(&self, place: &Place, options: &Options) -> anyhow::Result<Config> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ports = place.ports;
        let config = Config {
            version: 1,
            node: Node {
                site: "edge".to_owned(),
                state: self.path.join("state"),
                run: self.path.join("run"),
                uid: EDGED_UID,
                cgroup: place.cgroup.clone(),
            },
            network: Network {
                prefix: place.prefix.clone(),
                subnet4: place.subnet4.clone(),
                subnet6: place.subnet6.clone(),
                // A node for tests sends nothing outside.
                uplink: None,
            },
            dns: Dns {
                listen: vec![local(ports.dns)],
                upstreams: Vec::new(),
            },
            mqtt: Mqtt {
                port: ports.mqtt,
                username: MQTT_ADMIN.to_owned(),
                ..Mqtt::default()
            },
            http: Http {
                listen: vec![local(ports.https)],
                plain: options
                    .plain_http
                    .then(|| local(ports.http))
                    .into_iter()
                    .collect(),
                prefix: options.prefix.clone(),
                ..Http::default()
            },
            ssh: Ssh {
                listen: vec![local(ports.ssh)],
                authorized_keys: None,
            },
            registries: Registries {
                insecure: options.insecure_registry.clone(),
                ..Registries::default()
            },
            packages: Packages::default(),
            notifications: Notifications::default(),
            image: None,
            trust: Trust {
                tpm: match options.tpm {
                    super::Tpm::None => Tpm::None,
                    super::Tpm::Swtpm => Tpm::At(super::tpm::place(ports.tpm)),
                },
                // Nothing measures what this machine booted.
                policy: None,
            },
            update: None,
        };
        let text = toml::to_string(&config).context("the configuration cannot be written")?;
        let path = self.config();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(config)
    }

    /// Makes the operator's key, once, and lets it in.
    pub fn operator(&self) -> anyhow::Result<()> {
        let identity = self.identity();
        if !identity.exists() {
            process::output(
                Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-C", OPERATOR, "-f"])
                    .arg(&identity),
            )?;
        }
        let allowed = self.edged("authorized_keys");
        fs::copy(identity.with_extension("pub"), &allowed)
            .with_context(|| format!("cannot write {}", allowed.display()))?;
        chown(&allowed, Some(EDGED_UID), Some(EDGED_UID))?;
        Ok(())
    }

    /// Writes the node's key for ssh(1): known before the first connection, so nobody is asked to trust it.
    pub fn write_known_hosts(&self, port: u16) -> anyhow::Result<()> {
        let public = self.edged("ssh_host_key.pub");
        let key = fs::read_to_string(&public)
            .with_context(|| format!("edged has not written {}", public.display()))?;
        let line = format!("[127.0.0.1]:{port} {}\n", key.trim());
        Ok(fs::write(self.known_hosts(), line)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("board: cannot remove {}: {error}", self.path.display());
        }
    }
}
