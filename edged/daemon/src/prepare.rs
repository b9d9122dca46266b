//! What a box needs before its first start: keys, certificates and the broker's password. Idempotent.

use std::net::IpAddr;
use std::path::PathBuf;

use edged_config::{Addressing, Config};
use edged_image::{ImageError, ImageTrust};
use edged_mec::query::MarkerKey;
use edged_mec::{Authority, Tokens};
use edged_protocol::Secret;
use edged_signature::Policy;

use crate::random;

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
    Authority(#[from] edged_mec::AuthorityError),
    /// The token key.
    #[error(transparent)]
    Token(#[from] edged_mec::TokenError),
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

/// The box's authority and server certificate.
pub fn authority(config: &Config, addressing: &Addressing) -> Result<Authority, PrepareError> {
    let site = &config.node.site;
    let names = [
        config.node.zone(),
        format!("mec.{}", config.node.zone()),
        "localhost".to_owned(),
    ];
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
    Ok(Authority::open(
        &tls_folder(config),
        site,
        &names,
        &addresses,
    )?)
}

/// The key that signs tokens.
pub fn tokens(config: &Config) -> Result<Tokens, PrepareError> {
    Ok(Tokens::open(
        &folder(config).join("token.key"),
        &config.node.zone(),
    )?)
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
            match edged_mec::write_private(&path, password.expose().as_bytes()) {
                Ok(()) => Ok(password),
                Err(source) => Err(PrepareError::File { path, source }),
            }
        }
        Err(source) => Err(PrepareError::File { path, source }),
    }
}

/// Everything, once.
pub fn prepare(config: &Config, addressing: &Addressing) -> Result<(), PrepareError> {
    let folder = folder(config);
    std::fs::create_dir_all(&folder).map_err(|source| PrepareError::File {
        path: folder,
        source,
    })?;
    authority(config, addressing)?;
    tokens(config)?;
    mqtt_password(config)?;
    mqtt_operator(config)?;
    Ok(())
}
