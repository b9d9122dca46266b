//! The box's own keys, what it can prove of itself, and which of its promises hold.

mod images;
mod known_hosts;
mod proof;
mod status;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use edged_authority::{FileKey, Sign, remove_durably};
use edged_config::{Config, Tpm as Place};
use edged_console::{ErrorKind, KeyView, PlatformError};
use edged_evidence::attest::Attest;
use edged_evidence::pcr::Value;
use edged_evidence::{REGISTERS, hash};
use edged_mec::{BoxClaim, Origin, PcrClaim};
use edged_ssh::HostKey;
use edged_trust::{Guard, Keeper, Purpose, Settings, Tpm, TrustError};

use crate::prepare;

pub use proof::shown;

/// The sealed host key of the operators' door.
const HOST_KEY: &str = "ssh";
/// The broker's, in a file.
const BROKER_KEY: &str = "broker";

/// Why the box has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The TPM's.
    #[error(transparent)]
    Tpm(#[from] TrustError),
    /// A file's.
    #[error("cannot use the key {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The host key's.
    #[error(transparent)]
    Ssh(#[from] edged_ssh::SshError),
    /// What the TPM says is no statement.
    #[error("what the TPM says cannot be read: {0}")]
    Said(String),
    /// A sealed host key that is none.
    #[error("the sealed host key cannot be used: {0}")]
    Host(String),
}

/// The box's keys and proofs.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<Config>,
    /// Asks the TPM; nothing where keys are files.
    keeper: Option<Keeper>,
}

impl Trust {
    /// Finds the TPM that the configuration names. Waits for it: only while edged starts.
    ///
    /// # Errors
    /// None answers there. A box whose keys are in a TPM does not go on without it.
    pub fn open(config: Arc<Config>) -> Result<Self, TrustError> {
        let keeper = match &config.trust.tpm {
            Place::None => None,
            Place::At(place) => {
                let policy = config.trust.policy.as_ref();
                Some(Keeper::start(Settings {
                    place: place.clone(),
                    folder: prepare::folder(&config).join("tpm"),
                    guard: policy
                        .map(|policy| Guard::read(&policy.key, &policy.signatures))
                        .transpose()?,
                })?)
            }
        };
        Ok(Self { config, keeper })
    }

    /// One of the box's keys, made where it is missing. May wait for the TPM.
    ///
    /// # Errors
    /// The TPM or the file does not give it.
    pub fn key(&self, purpose: Purpose) -> Result<Arc<dyn Sign>, KeyError> {
        if let Some(keeper) = &self.keeper {
            return Ok(keeper.key(purpose)?);
        }
        let path = self.file(purpose);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| FileKey::open(&path, purpose.name()))
            .map(|key| -> Arc<dyn Sign> { Arc::new(key) })
            .map_err(|source| KeyError::File { path, source })
    }

    /// What stands behind the keys: what tokens say of the box. May wait for the TPM.
    ///
    /// # Errors
    /// The TPM does not say it.
    pub fn origin(&self) -> Result<Origin, KeyError> {
        let Some(keeper) = &self.keeper else {
            return Ok(Origin::Software);
        };
        let ask = |tpm: &mut Tpm| Ok((tpm.attestation_public()?, tpm.quote(&[])?));
        let (key, (quote, registers)) = keeper.ask(ask)?;
        let said =
            Attest::read(&quote.attest).map_err(|error| KeyError::Said(error.to_string()))?;
        Ok(Origin::Tpm(BoxClaim {
            // The number of SHA-256, then the hash.
            key: format!("000b{}", Value::of(key.raw())),
            pcrs: PcrClaim {
                selection: REGISTERS.to_vec(),
                digest: hash(&registers).to_string(),
            },
            boot: said.clock.resets.into(),
            release: build(&self.config).and_then(|build| build.get("release")?.as_u64()),
        }))
    }

    /// Where a key is without a TPM.
    fn file(&self, purpose: Purpose) -> PathBuf {
        prepare::folder(&self.config).join(match purpose {
            Purpose::Tls => "tls/server.key",
            Purpose::Token => "token.key",
            Purpose::Ca => "tls/ca.key",
        })
    }

    /// The host key of the operators' door. A TPM does not sign for it: it keeps it sealed, and it is in memory while edged
    /// runs. One that was in a file moves into the TPM, so that the box stays the one that its operators know.
    ///
    /// # Errors
    /// The TPM or the file does not give it.
    pub fn host_key(&self) -> Result<HostKey, KeyError> {
        let path = prepare::folder(&self.config).join("ssh_host_key");
        let Some(keeper) = &self.keeper else {
            return Ok(HostKey::read_or_make(&path)?);
        };
        let on_file = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        if let Some(sealed) = keeper.ask(|tpm| tpm.unseal(HOST_KEY))? {
            let text =
                String::from_utf8(sealed).map_err(|error| KeyError::Host(error.to_string()))?;
            let key = HostKey::parse(&text).map_err(KeyError::Host)?;
            // The power may have gone between the sealing and this.
            remove_durably(&path).map_err(on_file)?;
            return Ok(key);
        }
        let was_a_file = path.try_exists().map_err(on_file)?;
        let key = if was_a_file {
            HostKey::read_or_make(&path)?
        } else {
            HostKey::make().map_err(KeyError::Host)?
        };
        let text = key.to_text().map_err(KeyError::Host)?;
        keeper.ask(move |tpm| tpm.seal(HOST_KEY, text.as_bytes()))?;
        remove_durably(&path).map_err(on_file)?;
        Ok(key)
    }

    /// The box's own keys, and where each is kept.
    pub async fn keys(&self) -> Result<Vec<KeyView>, PlatformError> {
        let trust = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let place = if trust.keeper.is_some() {
                "tpm"
            } else {
                "software"
            };
            let of = |purpose: Purpose| {
                trust.key(purpose).map(|key| KeyView {
                    name: purpose.name().to_owned(),
                    place: place.to_owned(),
                    fingerprint: Value::of(&key.public()).to_string(),
                })
            };
            Purpose::ALL.into_iter().map(of).collect::<Result<_, _>>()
        });
        let found = work.await.map_err(|error| failed(&error))?;
        let mut keys: Vec<KeyView> = found.map_err(|error| failed(&error))?;
        keys.push(KeyView {
            name: HOST_KEY.to_owned(),
            place: if self.keeper.is_some() {
                "sealed"
            } else {
                "software"
            }
            .to_owned(),
            fingerprint: self.host_fingerprint().unwrap_or_default(),
        });
        // The broker reads its key from a file, whatever else the box has.
        let path = prepare::tls_folder(&self.config).join("server.key");
        let broker = FileKey::open(&path, BROKER_KEY).map_err(|error| failed(&error))?;
        keys.push(KeyView {
            name: BROKER_KEY.to_owned(),
            place: "software".to_owned(),
            fingerprint: Value::of(&broker.public()).to_string(),
        });
        Ok(keys)
    }

    /// The hash of the host key that ssh-keygen shows, in hexadecimal.
    fn host_fingerprint(&self) -> Option<String> {
        use base64::Engine as _;
        let path = prepare::folder(&self.config).join("ssh_host_key.pub");
        let line = fs::read_to_string(path).ok()?;
        let key = line.split_whitespace().nth(1)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(key).ok()?;
        Some(Value::of(&bytes).to_string())
    }
}

/// What the image says of itself; nothing on a machine that booted something else.
fn build(config: &Config) -> Option<serde_json::Value> {
    let text = fs::read(&config.image.as_ref()?.build).ok()?;
    serde_json::from_slice(&text).ok()
}

fn failed(error: &dyn std::fmt::Display) -> PlatformError {
    tracing::error!("the TPM or a key: {error}");
    PlatformError::new(ErrorKind::Internal, error.to_string())
}
