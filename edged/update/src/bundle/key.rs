//! The key `update`, and how one comes after another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::{Hash, Refusal};

/// `SubjectPublicKeyInfo` of an RSA-3072 key up to `RSAPublicKey`: there is one DER of it (RFC 3279, 2.3.1).
const HEAD: [u8; 24] = [
    0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x8f, 0x00,
];
/// All of it, with a modulus of 384 bytes and the exponent 65537.
const LENGTH: usize = 422;
/// What a successor's key stands behind when its predecessor signs it.
const SUCCESSION: &[u8] = b"umec update key succession\n";
/// Most successors in a bundle: a key changed every year for longer than a box is out between two updates.
const SUCCESSORS_MAX: usize = 8;

/// A public key that updates are signed by: RSA-3072.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UpdateKey(Vec<u8>);

/// The text or the bytes are no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no public RSA key of 3072 bits with the exponent 65537")]
pub struct ParseKeyError;

impl UpdateKey {
    /// Of `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// It is another kind of key.
    pub fn from_der(der: Vec<u8>) -> Result<Self, ParseKeyError> {
        (der.len() == LENGTH && der.starts_with(&HEAD))
            .then_some(Self(der))
            .ok_or(ParseKeyError)
    }

    /// Of the one `PUBLIC KEY` in PEM.
    ///
    /// # Errors
    /// There is none, or it is another kind of key.
    pub fn from_pem(text: &str) -> Result<Self, ParseKeyError> {
        let inside = text
            .split_once("-----BEGIN PUBLIC KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"));
        let (inside, _) = inside.ok_or(ParseKeyError)?;
        let packed: String = inside.split_whitespace().collect();
        Self::from_der(STANDARD.decode(packed).map_err(|_| ParseKeyError)?)
    }

    /// In DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the DER, as `cargo board keys show` has it.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.0)
    }

    /// Whether this key has signed the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = self.0.get(HEAD.len()..).unwrap_or_default();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(message, signature)
            .is_ok()
    }

    /// What the predecessor of this key signs.
    pub fn succession_message(&self) -> Vec<u8> {
        [SUCCESSION, &self.0].concat()
    }
}

impl From<UpdateKey> for String {
    fn from(key: UpdateKey) -> Self {
        STANDARD.encode(key.0)
    }
}

impl TryFrom<String> for UpdateKey {
    type Error = ParseKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_der(STANDARD.decode(text).map_err(|_| ParseKeyError)?)
    }
}

/// A key, and that its predecessor says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Successor {
    /// The key.
    pub key: UpdateKey,
    /// Its predecessor's fingerprint.
    pub by: Hash,
    /// The predecessor's signature over [`UpdateKey::succession_message`].
    #[serde(with = "signature")]
    pub signature: Vec<u8>,
}

/// Keys, each after the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Successor>", try_from = "Vec<Successor>")]
pub struct Succession(Vec<Successor>);

impl From<Succession> for Vec<Successor> {
    fn from(succession: Succession) -> Self {
        succession.0
    }
}

impl TryFrom<Vec<Successor>> for Succession {
    type Error = String;

    fn try_from(successors: Vec<Successor>) -> Result<Self, Self::Error> {
        if successors.len() > SUCCESSORS_MAX {
            return Err(format!(
                "it has {} successors of keys, and at most {SUCCESSORS_MAX} are followed",
                successors.len()
            ));
        }
        Ok(Self(successors))
    }
}

impl Succession {
    /// The newest successors of a longer history, oldest first.
    pub fn newest(mut successors: Vec<Successor>) -> Self {
        let gone = successors.len().saturating_sub(SUCCESSORS_MAX);
        successors.drain(..gone);
        Self(successors)
    }

    /// The key with the fingerprint `signer`: `known` itself, or a successor by an unbroken chain of signatures.
    pub(crate) fn follow(&self, known: &UpdateKey, signer: Hash) -> Result<UpdateKey, Refusal> {
        let mut current = known.clone();
        for next in &self.0 {
            let by = current.fingerprint();
            if by == signer {
                break;
            }
            if next.by != by {
                // Older than the box's own key.
                continue;
            }
            if !current.verifies(&next.key.succession_message(), &next.signature) {
                return Err(Refusal::Succession {
                    key: next.key.fingerprint(),
                    by,
                });
            }
            current = next.key.clone();
        }
        if current.fingerprint() == signer {
            return Ok(current);
        }
        Err(Refusal::Signer {
            signer,
            known: known.fingerprint(),
        })
    }
}

/// A signature in base64.
mod signature {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(de::Error::custom)
    }
}
