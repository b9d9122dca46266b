//! Access tokens: ES256 (RFC 7518, 3.4), short-lived, bound to an instance.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use edged_model::InstanceId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Seconds a token lives: long enough that an application asks a few times an hour, short enough that a stolen one
/// is soon worth nothing.
pub const LIFETIME_S: u64 = 900;
/// Whom tokens are for: this box's MEC interfaces.
const AUDIENCE: &str = "mec";
/// Seconds that two clocks of one box may differ: none; verification and issue read the same clock.
const LEEWAY_S: u64 = 0;
/// Tokens remembered as good: some for each application that a box can hold; 1 MiB at most.
const KNOWN_MAX: usize = 1024;

/// Why there is no key or no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key file cannot be read or written.
    #[error("cannot use the token key {path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file has no P-256 key in it.
    #[error("{0} holds no P-256 key in PKCS#8; remove it and a new one is made")]
    Malformed(PathBuf),
    /// Signing failed.
    #[error("a token could not be signed")]
    Sign,
}

/// Whom a token lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Its own resources of one instance.
    Instance(InstanceId),
    /// Everything: an orchestrator's or a test's.
    All,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    scope: String,
    iat: u64,
    exp: u64,
    jti: String,
}

const SCOPE_INSTANCE: &str = "mec:instance";
const SCOPE_ALL: &str = "mec:all";

/// The key that signs tokens, and the box's name as their issuer.
pub struct Tokens {
    issuer: String,
    sign: EncodingKey,
    verify: DecodingKey,
    /// Tokens whose signature was good, and the second they end: a signature costs more than the rest of a request.
    known: Mutex<HashMap<String, (Access, u64)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the key, or makes it (mode 0600).
    pub fn open(path: &Path, issuer: &str) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Key {
            path: path.to_owned(),
            source,
        };
        let der = match std::fs::read(path) {
            Ok(der) => der,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &SystemRandom::new(),
                )
                .map_err(|_| TokenError::Sign)?;
                crate::authority::write_private(path, key.as_ref()).map_err(failed)?;
                key.as_ref().to_vec()
            }
            Err(error) => return Err(failed(error)),
        };
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new())
                .map_err(|_| TokenError::Malformed(path.to_owned()))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            sign: EncodingKey::from_ec_der(&der),
            verify: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            known: Mutex::default(),
        })
    }

    /// A fresh token for `lifetime_s` seconds.
    pub fn issue(&self, access: &Access, lifetime_s: u64) -> Result<String, TokenError> {
        let now = now();
        let (sub, scope) = match access {
            Access::Instance(id) => (id.to_string(), SCOPE_INSTANCE),
            Access::All => ("operator".to_owned(), SCOPE_ALL),
        };
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            scope: scope.to_owned(),
            iat: now,
            exp: now + lifetime_s,
            jti: uuid::Uuid::new_v4().to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.sign)
            .map_err(|_| TokenError::Sign)
    }

    /// Whom a token lets in; `None` for anything forged, expired or meant for another box.
    pub fn verify(&self, token: &str) -> Option<Access> {
        let now = now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((access, ends)) = known.get(token) {
            if now < *ends {
                return Some(access.clone());
            }
            known.remove(token);
            return None;
        }
        let (access, ends) = self.read(token)?;
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (_, ends)| now < *ends);
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.to_owned(), (access.clone(), ends));
        Some(access)
    }

    fn read(&self, token: &str) -> Option<(Access, u64)> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&self.issuer]);
        rules.leeway = LEEWAY_S;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &rules)
            .ok()?
            .claims;
        let access = match claims.scope.as_str() {
            SCOPE_ALL => Access::All,
            SCOPE_INSTANCE => Access::Instance(claims.sub.parse().ok()?),
            _ => return None,
        };
        Some((access, claims.exp))
    }
}

/// Unix seconds.
fn now() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(issuer: &str) -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&folder.path().join("key"), issuer).unwrap();
        (folder, tokens)
    }

    #[test]
    fn a_token_lets_its_own_instance_in_and_survives_a_restart() {
        let (folder, first) = tokens("a");
        let access = Access::Instance(InstanceId::random());
        let token = first.issue(&access, LIFETIME_S).unwrap();
        let again = Tokens::open(&folder.path().join("key"), "a").unwrap();
        assert_eq!(again.verify(&token), Some(access));
    }

    #[test]
    fn expired_forged_and_foreign_tokens_let_nobody_in() {
        let (_folder, own) = tokens("a");
        let (_other_folder, other) = tokens("a");
        let (_foreign_folder, foreign) = tokens("b");
        let access = Access::All;
        assert_eq!(
            own.verify(&other.issue(&access, 60).unwrap()),
            None,
            "another key"
        );
        assert_eq!(
            own.verify(&foreign.issue(&access, 60).unwrap()),
            None,
            "another box"
        );
        let token = own.issue(&access, 60).unwrap();
        let mut forged = token.clone().into_bytes();
        let at = token.find('.').unwrap() + 5;
        forged[at] ^= 1;
        assert_eq!(
            own.verify(&String::from_utf8(forged).unwrap()),
            None,
            "one bit"
        );
        assert_eq!(own.verify(""), None);
    }

    #[test]
    fn a_token_that_was_good_ends_all_the_same() {
        let (_folder, tokens) = tokens("a");
        let token = tokens.issue(&Access::All, 60).unwrap();
        assert_eq!(tokens.verify(&token), Some(Access::All));
        tokens.known.lock().unwrap().get_mut(&token).unwrap().1 = now();
        assert_eq!(tokens.verify(&token), None);
        for _ in 0..=KNOWN_MAX {
            tokens.verify(&tokens.issue(&Access::All, 60).unwrap());
        }
        assert!(tokens.known.lock().unwrap().len() <= KNOWN_MAX);
    }
}
