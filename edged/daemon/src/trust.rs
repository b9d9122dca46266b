//! What the box can prove of itself, and which of its promises hold.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_config::Config;
use edged_console::{ErrorKind, Finding, FindingState, KeyView, PlatformError};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use crate::prepare;

/// The box's own keys: name, file in edged's folder, what it is for.
const KEYS: [(&str, &str, &str); 3] = [
    ("tls", "tls/server.key", "HTTPS"),
    ("token", "token.key", "tokens of applications"),
    ("ca", "tls/ca.key", "certificates of this box"),
];

/// The box's keys and proofs.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<Config>,
}

impl Trust {
    /// What a configuration gives.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    /// Which promises hold.
    pub fn status(&self) -> Vec<Finding> {
        let mut all = vec![
            Finding::new(
                "identity",
                FindingState::Off,
                "software keys: there is no TPM, so a copy of the disk is this box",
            )
            .todo("name the TPM in [trust] of the configuration, on a machine that has one"),
        ];
        all.extend(KEYS.iter().map(|(name, _, purpose)| {
            let means = format!("software key: whoever reads the disk can sign {purpose}");
            Finding::new(format!("key {name}"), FindingState::Off, means)
        }));
        all.push(match &self.config.image {
            Some(image) if image.event_log.exists() => Finding::new(
                "measured boot",
                FindingState::Ok,
                "the firmware measured what booted; trust pcrs and trust log show it",
            ),
            _ => Finding::new(
                "measured boot",
                FindingState::Off,
                "nothing measured what booted here",
            ),
        });
        all
    }

    /// The box's own keys.
    pub fn keys(&self) -> Result<Vec<KeyView>, PlatformError> {
        let folder = prepare::folder(&self.config);
        KEYS.iter()
            .map(|(name, file, _)| {
                let public = public_half(&folder.join(file)).ok_or_else(|| {
                    let message = format!("the key {name} cannot be read");
                    PlatformError::new(ErrorKind::Internal, message)
                })?;
                Ok(KeyView {
                    name: (*name).to_owned(),
                    place: "software".to_owned(),
                    fingerprint: fingerprint(&public),
                })
            })
            .collect()
    }
}

/// Without a TPM nothing is proven.
pub fn no_tpm() -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        "this box has software keys: there is no TPM to prove anything with",
    )
    .with_hint("trust status says which promises hold without one")
}

/// SHA-256 of a public key.
fn fingerprint(public: &[u8]) -> String {
    edged_evidence::pcr::Value::of(public).to_string()
}

fn public_half(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let der = match std::str::from_utf8(&bytes) {
        Ok(pem) => {
            let body: String = pem
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect();
            STANDARD.decode(body).ok()?
        }
        Err(_) => bytes,
    };
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}
