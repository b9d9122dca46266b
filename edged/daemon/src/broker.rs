//! The broker's files, written by the one who knows its account: `edged mosquitto`.

use std::net::SocketAddr;
use std::path::PathBuf;

use edged_config::Config;
use edged_mqtt::mosquitto::{self, Bounds, Listener, LogTo, Options, Tls};

use crate::prepare;

/// The user that Debian's package makes; mosquitto becomes it where root starts it.
const USER: &str = "mosquitto";

/// What a node's broker listens on.
#[derive(Debug, Clone, clap::Args)]
pub struct Broker {
    /// Folder of the broker's files
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Address of a listener without TLS; may be repeated
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Address of a listener with TLS; may be repeated
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["certificate", "key"])]
    listen_tls: Vec<SocketAddr>,
    /// Certificate chain for TLS, PEM
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key for TLS, PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Writes the configuration anew, and the accounts where there are none yet.
pub fn write(config: &Config, broker: &Broker) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let listener = |address: &SocketAddr, tls: Option<Tls>| Listener {
        address: *address,
        tls,
        one_connection_per_account: false,
    };
    let tls = broker.certificate.clone().zip(broker.key.clone());
    let tls = tls.map(|(certificate, key)| Tls {
        certificate,
        key,
        client_ca: None,
    });
    let mut listeners: Vec<Listener> = broker
        .listen
        .iter()
        .map(|address| listener(address, None))
        .collect();
    listeners.extend(
        broker
            .listen_tls
            .iter()
            .map(|address| listener(address, tls.clone())),
    );
    let options = Options {
        listeners,
        plugin: mosquitto::find_plugin()?,
        security_file: broker.folder.join(mosquitto::SECURITY_FILE),
        persistence: None,
        user: USER.parse()?,
        bounds: Bounds::default(),
        log: LogTo::Stderr,
    };
    let password = prepare::mqtt_password(config)?;
    Ok(mosquitto::write(
        &broker.folder,
        &options,
        &config.mqtt.username.parse()?,
        &password,
        None,
    )?)
}
