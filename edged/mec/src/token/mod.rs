//! Access tokens: ES256 (RFC 7518, 3.4), short-lived, bound to an instance, and saying what stands behind them: the
//! image that the instance runs, and the box where a TPM vouches for it.

mod claims;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edged_authority::{FileKey, POINT, Sign, SignError};
use edged_model::InstanceId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use claims::Claims;
pub use claims::{AppClaim, BoxClaim, Origin, PcrClaim};

/// Seconds a token lives: long enough that an application asks a few times an hour, short enough that a stolen one
/// is soon worth nothing.
pub const LIFETIME_S: u64 = 900;
/// Whom tokens are for: this box's MEC interfaces.
const AUDIENCE: &str = "mec";
/// Seconds that two clocks of one box may differ: none; verification and issue read the same clock.
const LEEWAY_S: u64 = 0;
/// Seconds that the clock may be set back by before tokens from its future count no more: NTP steps by seconds, and a token
/// lives so much longer at most.
const STEP_BACK_S: u64 = 60;
/// Tokens remembered as good: some for each application that a box can hold; 1 MiB at most.
const KNOWN_MAX: usize = 1024;

/// Tokens that are being signed at once: the key may be in a TPM, which does one after the other.
const SIGNATURES: usize = 4;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The claims have no JSON, or the process is ending.
    #[error("a token could not be made: {0}")]
    Make(String),
}

/// Whom a token lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Its own resources of one instance.
    Instance(InstanceId),
    /// Everything: an orchestrator's or a test's.
    All,
}

const SCOPE_INSTANCE: &str = "mec:instance";
const SCOPE_ALL: &str = "mec:all";

/// The key that signs tokens, and the box's name as their issuer.
pub struct Tokens {
    issuer: String,
    key: Arc<dyn Sign>,
    kid: String,
    origin: Origin,
    verify: DecodingKey,
    signing: Semaphore,
    /// Tokens whose signature was good, and when: a signature costs more than the rest of a request.
    known: Mutex<HashMap<String, (Access, Life)>>,
}

/// From when to when a token counts, Unix seconds.
#[derive(Debug, Clone, Copy)]
struct Life {
    from: u64,
    until: u64,
}

impl Life {
    /// Not before it was issued either: a box's clock may go back by years, and what was issued before would live as long.
    fn includes(self, now: u64) -> bool {
        self.from <= now.saturating_add(STEP_BACK_S) && now < self.until
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// The header of a token (RFC 7515, 4.1).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

impl Tokens {
    /// Tokens of this key and this box.
    pub fn new(key: Arc<dyn Sign>, issuer: &str, origin: Origin) -> Self {
        let public = key.public();
        Self {
            issuer: issuer.to_owned(),
            kid: thumbprint(&public),
            verify: DecodingKey::from_ec_der(&public),
            key,
            origin,
            signing: Semaphore::new(SIGNATURES),
            known: Mutex::default(),
        }
    }

    /// Tokens of a key in a file, which is made where it is missing.
    ///
    /// # Errors
    /// The file cannot be used, or holds no P-256 key.
    pub fn open(path: &Path, issuer: &str) -> std::io::Result<Self> {
        let key = FileKey::open(path, "token")?;
        Ok(Self::new(Arc::new(key), issuer, Origin::Software))
    }

    /// A fresh token for `lifetime_s` seconds; `app` is what the instance runs. May wait for the TPM: not on the thread
    /// that serves, see [`Tokens::issue_soon`].
    ///
    /// # Errors
    /// The key does not sign.
    pub fn issue(
        &self,
        access: &Access,
        app: Option<AppClaim>,
        lifetime_s: u64,
    ) -> Result<String, TokenError> {
        self.issue_at(now(), access, app, lifetime_s)
    }

    fn issue_at(
        &self,
        now: u64,
        access: &Access,
        app: Option<AppClaim>,
        lifetime_s: u64,
    ) -> Result<String, TokenError> {
        let (sub, scope) = match access {
            Access::Instance(id) => (id.to_string(), SCOPE_INSTANCE),
            Access::All => ("operator".to_owned(), SCOPE_ALL),
        };
        let (claimed, keys) = self.origin.claims();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            scope: scope.to_owned(),
            iat: now,
            exp: now.saturating_add(lifetime_s),
            jti: uuid::Uuid::new_v4().to_string(),
            app,
            claimed,
            keys,
        };
        let header = Header {
            alg: "ES256",
            typ: "JWT",
            kid: &self.kid,
        };
        let signed = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    /// As [`Tokens::issue`], on a thread where that may wait.
    ///
    /// # Errors
    /// As [`Tokens::issue`].
    pub async fn issue_soon(
        self: &Arc<Self>,
        access: Access,
        app: Option<AppClaim>,
        lifetime_s: u64,
    ) -> Result<String, TokenError> {
        // The semaphore is never closed.
        let _place = self.signing.acquire().await;
        let tokens = Arc::clone(self);
        tokio::task::spawn_blocking(move || tokens.issue(&access, app, lifetime_s))
            .await
            .map_err(|error| TokenError::Make(error.to_string()))?
    }

    /// The public key, for whoever wants to verify tokens by itself (RFC 7517, 5).
    pub fn jwks(&self) -> Value {
        let public = self.key.public();
        let (x, y) = coordinates(&public);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "x": x, "y": y,
            "use": "sig", "alg": "ES256", "kid": self.kid,
        }]})
    }

    /// Whom a token lets in; `None` for anything forged, expired or meant for another box.
    pub fn verify(&self, token: &str) -> Option<Access> {
        let now = now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((access, life)) = known.get(token) {
            if life.includes(now) {
                return Some(access.clone());
            }
            known.remove(token);
            return None;
        }
        let (access, life) = self.read(token)?;
        if !life.includes(now) {
            return None;
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (_, life)| life.includes(now));
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.to_owned(), (access.clone(), life));
        Some(access)
    }

    fn read(&self, token: &str) -> Option<(Access, Life)> {
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
        let life = Life {
            from: claims.iat,
            until: claims.exp,
        };
        Some((access, life))
    }
}

fn part(of: &impl Serialize) -> Result<String, TokenError> {
    let json = serde_json::to_vec(of).map_err(|error| TokenError::Make(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// x and y, base64url (RFC 7518, 6.2.1).
fn coordinates(public: &[u8; POINT]) -> (String, String) {
    let (x, y) = public.get(1..).unwrap_or_default().split_at(POINT / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

/// The name of a key that follows from the key alone (RFC 7638, 3).
fn thumbprint(public: &[u8; POINT]) -> String {
    let (x, y) = coordinates(public);
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
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
        let token = first.issue(&access, None, LIFETIME_S).unwrap();
        let again = Tokens::open(&folder.path().join("key"), "a").unwrap();
        assert_eq!(again.verify(&token), Some(access));
    }

    #[test]
    fn a_token_from_a_time_that_the_clock_has_left_lets_nobody_in() {
        let (_folder, own) = tokens("a");
        let year = 365 * 86_400;
        let ahead = own.issue_at(now() + year, &Access::All, None, 60).unwrap();
        assert_eq!(own.verify(&ahead), None, "it would live for a year");
        let step = own.issue_at(now() + 2, &Access::All, None, 60).unwrap();
        assert_eq!(own.verify(&step), Some(Access::All), "NTP steps by seconds");
        let life = Life {
            from: year,
            until: year + 60,
        };
        assert!(life.includes(year) && !life.includes(year - 61) && !life.includes(year + 60));
    }

    #[test]
    fn expired_forged_and_foreign_tokens_let_nobody_in() {
        let (_folder, own) = tokens("a");
        let (_other_folder, other) = tokens("a");
        let (_foreign_folder, foreign) = tokens("b");
        let access = Access::All;
        assert_eq!(
            own.verify(&other.issue(&access, None, 60).unwrap()),
            None,
            "another key"
        );
        assert_eq!(
            own.verify(&foreign.issue(&access, None, 60).unwrap()),
            None,
            "another box"
        );
        let token = own.issue(&access, None, 60).unwrap();
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

    /// The claims of a token, as anybody reads them.
    fn claims(token: &str) -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_what_runs_and_what_vouches_for_the_box() {
        let folder = tempfile::tempdir().unwrap();
        let key: Arc<dyn Sign> =
            Arc::new(FileKey::open(&folder.path().join("key"), "token").unwrap());
        let access = Access::Instance(InstanceId::random());
        let app = AppClaim {
            instance: "web-1".to_owned(),
            image: format!("sha256:{}", "0a".repeat(32)),
        };
        let software = Tokens::new(Arc::clone(&key), "a", Origin::Software);
        let said = claims(&software.issue(&access, Some(app.clone()), 60).unwrap());
        assert_eq!(
            said["app"],
            json!({"instance": "web-1", "image": app.image})
        );
        assert_eq!((&said["keys"], said.get("box")), (&json!("software"), None));

        let measured = Tokens::new(
            key,
            "a",
            Origin::Tpm(BoxClaim {
                key: "000b22".to_owned(),
                pcrs: PcrClaim {
                    selection: vec![0, 7, 11],
                    digest: "5e".repeat(32),
                },
                boot: 3,
                release: Some(7),
            }),
        );
        let token = measured.issue(&access, Some(app), 60).unwrap();
        let said = claims(&token);
        assert_eq!(said["box"]["boot"], 3);
        assert_eq!(said["box"]["pcrs"]["selection"], json!([0, 7, 11]));
        assert_eq!(said.get("keys"), None);
        assert_eq!(measured.verify(&token), Some(access));
    }

    #[test]
    fn whoever_has_the_public_keys_verifies_a_token() {
        let (_folder, tokens) = tokens("a");
        let token = tokens.issue(&Access::All, None, 60).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(tokens.jwks()).unwrap();
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[AUDIENCE]);
        jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap();
    }

    #[test]
    fn a_token_that_was_good_ends_all_the_same() {
        let (_folder, tokens) = tokens("a");
        let token = tokens.issue(&Access::All, None, 60).unwrap();
        assert_eq!(tokens.verify(&token), Some(Access::All));
        tokens
            .known
            .lock()
            .unwrap()
            .get_mut(&token)
            .unwrap()
            .1
            .until = now();
        assert_eq!(tokens.verify(&token), None);
        for _ in 0..=KNOWN_MAX {
            tokens.verify(&tokens.issue(&Access::All, None, 60).unwrap());
        }
        assert!(tokens.known.lock().unwrap().len() <= KNOWN_MAX);
    }
}
