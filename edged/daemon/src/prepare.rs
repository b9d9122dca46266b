//! What a box needs before its first start: keys, certificates and the broker's password. Idempotent.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use edged_authority::{Authority, AuthorityError, Client, Names, Server};
use edged_config::{Addressing, Config};
use edged_image::{ImageError, ImageTrust};
use edged_mec::Tokens;
use edged_mec::query::MarkerKey;
use edged_notify::Identity;
use edged_protocol::Secret;
use edged_signature::Policy;
use edged_trust::Purpose;

use crate::random;
use crate::renewal::BrokerCertificate;
use crate::trust::{KeyError, Trust};

/// The operator's name, on the broker as at the door.
const OPERATOR: &str = "admin";

/// Why the box could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A file or folder.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No randomness for a password.
    #[error("the kernel gives no randomness")]
    Random,
}

/// edged's own folder of the state.
pub fn folder(config: &Config) -> PathBuf {
    config.node.state.join("edged")
}

/// The folder of certificates.
pub fn tls_folder(config: &Config) -> PathBuf {
    folder(config).join("tls")
}

/// The folder of what the broker may read: its certificate.
pub fn broker_folder(config: &Config) -> PathBuf {
    folder(config).join("broker")
}

/// Who signs the box's certificates.
pub fn authority(config: &Config, trust: &Trust) -> Result<Arc<Authority>, PrepareError> {
    let key = trust.key(Purpose::Ca)?;
    let opened = Authority::open(&tls_folder(config), &config.node.site, key);
    Ok(Arc::new(opened?))
}

/// What the box is called and where it is reached.
pub fn names(config: &Config, addressing: &Addressing) -> Names {
    let mut addresses: Vec<IpAddr> = vec![
        addressing.gateway4.into(),
        addressing.gateway6.into(),
        IpAddr::from([127, 0, 0, 1]),
        std::net::Ipv6Addr::LOCALHOST.into(),
    ];
    addresses.extend(
        config
            .http
            .listen
            .iter()
            .map(std::net::SocketAddr::ip)
            .filter(|ip| !ip.is_unspecified() && !ip.is_loopback()),
    );
    Names {
        common: format!("{} edged", config.node.site),
        hosts: vec![
            config.node.zone(),
            format!("mec.{}", config.node.zone()),
            "localhost".to_owned(),
        ],
        addresses,
    }
}

/// Who answers HTTPS, with a certificate that fits the clock.
pub fn server(
    config: &Config,
    addressing: &Addressing,
    trust: &Trust,
) -> Result<Arc<Server>, PrepareError> {
    let key = trust.key(Purpose::Tls)?;
    let names = names(config, addressing);
    let server = Server::new(authority(config, trust)?, key, names);
    Ok(Arc::new(server))
}

/// Who the box is where it connects to others: with the key of HTTPS, and under the same names.
pub fn identity(
    config: &Config,
    addressing: &Addressing,
    trust: &Trust,
) -> Result<Identity, PrepareError> {
    let key = trust.key(Purpose::Tls)?;
    let authority = authority(config, trust)?;
    Ok(Identity {
        root: authority.root().clone(),
        certificate: Arc::new(Client::new(authority, key, names(config, addressing))?),
    })
}

/// Who signs tokens.
pub fn tokens(config: &Config, trust: &Trust) -> Result<Tokens, PrepareError> {
    let key = trust.key(Purpose::Token)?;
    Ok(Tokens::new(key, &config.node.zone(), trust.origin()?))
}

/// Whose images are taken. A box of ours takes what is signed, from its first day; a machine that booted something else
/// takes everything until its operator says otherwise.
pub fn image_trust(config: &Config) -> Result<ImageTrust, ImageError> {
    let first = match config.image {
        Some(_) => Policy::signed(),
        None => Policy::open(),
    };
    ImageTrust::open(&folder(config).join("image-policy.json"), first)
}

/// The key that markers of pages are signed with: of a secret that stays, so that links survive a restart.
pub fn marker_key(config: &Config) -> Result<MarkerKey, PrepareError> {
    let secret = password_in(folder(config).join("marker.key"))?;
    Ok(MarkerKey::new(secret.expose().as_bytes()))
}

/// The password of edged's account on the broker, made where it is missing.
pub fn mqtt_password(config: &Config) -> Result<Secret, PrepareError> {
    let own = folder(config).join("mqtt-password");
    password_in(config.mqtt.password_file.clone().unwrap_or(own))
}

/// The operator's account on the broker: a name, and a password made where it is missing.
pub fn mqtt_operator(config: &Config) -> Result<(&'static str, Secret), PrepareError> {
    Ok((
        OPERATOR,
        password_in(folder(config).join("mqtt-operator-password"))?,
    ))
}

fn password_in(path: PathBuf) -> Result<Secret, PrepareError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Secret::new(text.trim_end())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let password = random::secret().ok_or(PrepareError::Random)?;
            match edged_authority::write_private(&path, password.expose().as_bytes()) {
                Ok(()) => Ok(password),
                Err(source) => Err(PrepareError::File { path, source }),
            }
        }
        Err(source) => Err(PrepareError::File { path, source }),
    }
}

/// Everything, once.
pub fn prepare(
    config: &Config,
    addressing: &Addressing,
    trust: &Trust,
) -> Result<(), PrepareError> {
    let folder = folder(config);
    std::fs::create_dir_all(&folder).map_err(|source| PrepareError::File {
        path: folder,
        source,
    })?;
    // The broker may start before edged serves, which renews it.
    let broker = BrokerCertificate::open(config, addressing, trust)?;
    if !broker.is_there() {
        broker.renew(SystemTime::now())?;
    }
    trust.key(Purpose::Tls)?;
    tokens(config, trust)?;
    mqtt_password(config)?;
    mqtt_operator(config)?;
    Ok(())
}
