//! The files a mosquitto of ours starts from: `mosquitto.conf` and the first `dynamic-security.json`.
//!
//! Pure functions render them; [`write()`] puts them into a folder. The second file belongs to the plugin afterwards,
//! which rewrites it (by a new file and a rename, so its folder must be writable for the broker's user).

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use edged_protocol::Secret;
use serde_json::json;

use crate::account::{EVENTS_ROLE, events_acls};
use crate::dynsec::{Acl, AclType, DEFAULT_KINDS};
use crate::password::{self, ITERATIONS};
use crate::username::Username;

/// The name of the rendered configuration in its folder.
pub const CONFIG_FILE: &str = "mosquitto.conf";
/// The name of the plugin's file in its folder.
pub const SECURITY_FILE: &str = "dynamic-security.json";
/// The role of edged's own account, beside the one for events.
const CONTROL_ROLE: &str = "edged-control";
/// Everything of the plugin; no other part of `$CONTROL`.
const CONTROL_FILTER: &str = "$CONTROL/dynamic-security/#";
const PLUGIN_NAME: &str = "mosquitto_dynamic_security.so";
/// Debian's folder for this architecture first, then where other distributions and our image put libraries.
const PLUGIN_FOLDERS: [&str; 3] = [
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
];

/// Why a broker's files cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MosquittoError {
    /// The plugin is not on this machine.
    #[error(
        "no {PLUGIN_NAME} in /usr/lib, /usr/lib64 or Debian's library folder: install mosquitto 2.0 with it"
    )]
    NoPlugin,
    /// A line of the configuration would end early.
    #[error(
        "{what} {text:?} contains a control character, which mosquitto.conf cannot hold: rename it"
    )]
    Text {
        /// Which option.
        what: &'static str,
        /// Its text.
        text: String,
    },
    /// A broker without listeners serves nobody.
    #[error("no listener is configured for the broker: name at least one address and port")]
    NoListener,
    /// A password that the broker would cut or refuse.
    #[error(
        "the password of {0} must have 1 to 256 bytes without control characters: choose another one"
    )]
    Password(Username),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a salt: see whether the system's random source works")]
    Random,
    /// A file could not be written.
    #[error("cannot write {}: {source}; see whether its folder exists and is writable", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where TLS keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The broker's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// If given, clients must show a certificate that this authority signed, besides their password.
    pub client_ca: Option<PathBuf>,
}

/// One address that the broker listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// Encrypted with these, or plain.
    pub tls: Option<Tls>,
    /// Whether the user name is the client id. Then no account can take over another's session, and an account has
    /// one connection at a time: a second one throws the first out.
    pub one_connection_per_account: bool,
}

/// How much one broker may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one packet.
    pub max_packet_size: u32,
    /// Connections of one listener.
    pub max_connections: u32,
    /// Messages that wait for one client, at quality of service above 0.
    pub max_queued_messages: u32,
    /// Bytes that wait for one client. (Never `memory_limit`: with it mosquitto 2.0.11 miscounts what its plugin frees
    /// and drops connections after a few commands.)
    pub max_queued_bytes: u32,
}

impl Default for Bounds {
    /// 256 KiB a packet (images of a camera go elsewhere), 256 connections (a full box of apps, some of them with
    /// several), 1,000 messages (mosquitto's own) or 1 MiB that wait for one client.
    fn default() -> Self {
        Self {
            max_packet_size: 256 * 1024,
            max_connections: 256,
            max_queued_messages: 1000,
            max_queued_bytes: 1024 * 1024,
        }
    }
}

/// Where the broker's log goes; whoever starts the process reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Everything `mosquitto.conf` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// At least one.
    pub listeners: Vec<Listener>,
    /// The plugin's file, see [`find_plugin`].
    pub plugin: PathBuf,
    /// The plugin's state.
    pub security_file: PathBuf,
    /// The folder for retained messages and sessions; without it they end with the broker, and flash sees no write.
    pub persistence: Option<PathBuf>,
    /// The user that mosquitto becomes if root starts it; it ignores this otherwise. Never root.
    pub user: Username,
    /// Bounds.
    pub bounds: Bounds,
    /// Log.
    pub log: LogTo,
}

/// Finds the plugin on this machine.
pub fn find_plugin() -> Result<PathBuf, MosquittoError> {
    let paths = PLUGIN_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(PLUGIN_NAME));
    paths
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(MosquittoError::NoPlugin)
}

/// Renders `mosquitto.conf`. Source: mosquitto.conf(5) of 2.0.
pub fn render(options: &Options) -> Result<String, MosquittoError> {
    if options.listeners.is_empty() {
        return Err(MosquittoError::NoListener);
    }
    let mut lines = Lines::default();
    lines.add(
        "# Written by edged at every start of a node; changes are lost.",
        "",
    );
    lines.add("per_listener_settings", "false");
    lines.add("allow_anonymous", "false");
    lines.path("plugin", &options.plugin)?;
    lines.path("plugin_opt_config_file", &options.security_file)?;
    lines.add("user", &options.user);
    lines.add(
        "log_dest",
        match options.log {
            LogTo::Stdout => "stdout",
            LogTo::Stderr => "stderr",
        },
    );
    for kind in ["error", "warning", "notice"] {
        lines.add("log_type", kind);
    }
    lines.add("set_tcp_nodelay", "true");
    // $SYS would wake an idle broker every ten seconds, and nobody here reads it.
    lines.add("sys_interval", 0);
    lines.add("max_packet_size", options.bounds.max_packet_size);
    lines.add("max_queued_messages", options.bounds.max_queued_messages);
    lines.add("max_queued_bytes", options.bounds.max_queued_bytes);
    lines.add("persistence", options.persistence.is_some());
    if let Some(folder) = &options.persistence {
        lines.path("persistence_location", folder)?;
    }
    for listener in &options.listeners {
        let address = listener.address;
        lines.add(
            "\nlistener",
            format_args!("{} {}", address.port(), address.ip()),
        );
        lines.add("max_connections", options.bounds.max_connections);
        if listener.one_connection_per_account {
            lines.add("use_username_as_clientid", "true");
        }
        if let Some(tls) = &listener.tls {
            lines.path("certfile", &tls.certificate)?;
            lines.path("keyfile", &tls.key)?;
            if let Some(authority) = &tls.client_ca {
                lines.path("cafile", authority)?;
                lines.add("require_certificate", "true");
            }
        }
    }
    Ok(lines.0)
}

/// Renders the plugin's first state: everything is denied but to edged's account, which may drive the plugin and
/// announce under `events/`. Every call salts anew.
pub fn render_security(admin: &Username, password: &Secret) -> Result<String, MosquittoError> {
    if !password::is_acceptable(password) {
        return Err(MosquittoError::Password(admin.clone()));
    }
    let hashed = password::hash(password).ok_or(MosquittoError::Random)?;
    let mut control = Vec::from(Acl::read(CONTROL_FILTER));
    control.push(Acl::allow(AclType::PublishClientSend, CONTROL_FILTER));
    let denied: serde_json::Map<_, _> = DEFAULT_KINDS
        .iter()
        .map(|kind| ((*kind).to_owned(), json!(false)))
        .collect();
    let state = json!({
        "clients": [{
            "username": admin,
            "textname": "edged",
            "password": hashed.hash,
            "salt": hashed.salt,
            "iterations": ITERATIONS,
            "roles": [{"rolename": CONTROL_ROLE}, {"rolename": EVENTS_ROLE}],
        }],
        "roles": [
            {"rolename": CONTROL_ROLE, "acls": control},
            {"rolename": EVENTS_ROLE, "acls": events_acls()},
        ],
        "defaultACLAccess": denied,
    });
    Ok(format!("{state:#}\n"))
}

/// The user and group that the broker runs as, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Writes both files: the configuration into `folder` anew, the plugin's state only where there is none yet, since it
/// holds the accounts. With `owner`, the state's folder and file become the broker's. Returns the configuration's path.
pub fn write(
    folder: &Path,
    options: &Options,
    admin: &Username,
    password: &Secret,
    owner: Option<Owner>,
) -> Result<PathBuf, MosquittoError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| MosquittoError::Io { path, source }
    };
    let config = folder.join(CONFIG_FILE);
    fs::write(&config, render(options)?).map_err(failed(&config))?;
    let security = &options.security_file;
    if !is_whole(security).map_err(failed(security))? {
        let text = render_security(admin, password)?;
        // Whole or not there: a broker refuses to start from half a file.
        let new = security.with_extension("first");
        write_private(&new, &text).map_err(failed(&new))?;
        fs::rename(&new, security).map_err(failed(security))?;
    }
    if let Some(Owner { uid, gid }) = owner {
        for path in [Some(security.as_path()), security.parent()]
            .into_iter()
            .flatten()
        {
            chown(path, Some(uid), Some(gid)).map_err(failed(path))?;
        }
    }
    Ok(config)
}

/// Whether the plugin's file is there and can be read. mosquitto 2.0.11 renames its new file before it has written out
/// the end of it: killed in between, it leaves an empty one and would refuse everybody for ever. The accounts in it are
/// lost then; edged grants them again.
fn is_whole(path: &Path) -> io::Result<bool> {
    match fs::read(path) {
        Ok(text) => {
            Ok(serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut new = fs::OpenOptions::new();
    let mut file = new
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Lines of `OPTION VALUE`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, option: &str, value: impl std::fmt::Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "{}", format!("{option} {value}").trim_end());
    }

    fn path(&mut self, option: &'static str, path: &Path) -> Result<(), MosquittoError> {
        let text = path.to_string_lossy();
        if text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Err(MosquittoError::Text {
                what: option,
                text: text.into_owned(),
            });
        }
        self.add(option, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            listeners: vec![Listener {
                address: "127.0.0.1:1883".parse().unwrap(),
                tls: None,
                one_connection_per_account: false,
            }],
            plugin: "/usr/lib/p.so".into(),
            security_file: "/run/b/dynamic-security.json".into(),
            persistence: None,
            user: "mosquitto".parse().unwrap(),
            bounds: Bounds::default(),
            log: LogTo::Stderr,
        }
    }

    #[test]
    fn a_rendered_configuration_never_lets_anybody_in_anonymously() {
        let text = render(&options()).unwrap();
        for line in [
            "allow_anonymous false",
            "per_listener_settings false",
            "listener 1883 127.0.0.1",
            "plugin /usr/lib/p.so",
            "persistence false",
            "user mosquitto",
            "log_dest stderr",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(!text.contains("certfile"));
    }

    #[test]
    fn a_tls_listener_names_its_files_and_asks_for_client_certificates_only_when_told() {
        let mut options = options();
        options.persistence = Some("/var/b".into());
        let tls = Tls {
            certificate: "/c".into(),
            key: "/k".into(),
            client_ca: None,
        };
        options.listeners.push(Listener {
            address: "[::1]:8883".parse().unwrap(),
            tls: Some(tls.clone()),
            one_connection_per_account: true,
        });
        let text = render(&options).unwrap();
        assert!(text.contains("listener 8883 ::1\n") && text.contains("certfile /c\nkeyfile /k\n"));
        assert!(
            text.contains("persistence_location /var/b\n") && !text.contains("require_certificate")
        );
        options.listeners[1].tls = Some(Tls {
            client_ca: Some("/ca".into()),
            ..tls
        });
        assert!(
            render(&options)
                .unwrap()
                .contains("cafile /ca\nrequire_certificate true\n")
        );
    }

    #[test]
    fn a_path_cannot_smuggle_an_option() {
        let mut options = options();
        options.plugin = "/p\nallow_anonymous true".into();
        assert!(matches!(
            render(&options),
            Err(MosquittoError::Text { what: "plugin", .. })
        ));
        options.listeners.clear();
        assert!(matches!(render(&options), Err(MosquittoError::NoListener)));
    }

    #[test]
    fn the_first_state_denies_by_default_and_keeps_the_password_to_itself() {
        let admin: Username = "edged".parse().unwrap();
        let text = render_security(&admin, &Secret::new("hush-hush")).unwrap();
        assert!(!text.contains("hush-hush"));
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        for kind in DEFAULT_KINDS {
            assert_eq!(state["defaultACLAccess"][kind], false);
        }
        assert_eq!(state["clients"][0]["iterations"], 101);
        assert!(render_security(&admin, &Secret::new("a\0")).is_err());
    }

    #[test]
    fn a_second_write_keeps_the_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options();
        options.security_file = folder.path().join(SECURITY_FILE);
        let admin: Username = "edged".parse().unwrap();
        write(folder.path(), &options, &admin, &Secret::new("a"), None).unwrap();
        let first = fs::read(&options.security_file).unwrap();
        write(folder.path(), &options, &admin, &Secret::new("b"), None).unwrap();
        assert_eq!(fs::read(&options.security_file).unwrap(), first);
    }

    #[test]
    fn half_a_file_of_accounts_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options();
        options.security_file = folder.path().join(SECURITY_FILE);
        let admin: Username = "edged".parse().unwrap();
        for half in ["", "{\"clients\": ["] {
            fs::write(&options.security_file, half).unwrap();
            write(folder.path(), &options, &admin, &Secret::new("a"), None).unwrap();
            let text = fs::read_to_string(&options.security_file).unwrap();
            assert!(text.contains("\"edged\""), "after {half:?}: {text}");
        }
    }
}
