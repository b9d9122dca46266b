//! Making signatures, for those who have no cosign at hand: tests, and the demonstration's own image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_model::Digest;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::manifest::ANNOTATION;
use crate::{LAYER, Payload};

/// What stands before the point of a key of P-256: see `key`.
const PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
/// Characters of a line of PEM (RFC 7468, 2).
const LINE: usize = 64;

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot {0}; make a new one")]
pub struct MakeError(&'static str);

/// A P-256 key that signs images as cosign does.
#[derive(Debug)]
pub struct Signer {
    key: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Signer {
    /// A new key.
    ///
    /// # Errors
    /// The kernel gives no randomness.
    pub fn generate() -> Result<Self, MakeError> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        Self::from_pkcs8(made.map_err(|_| MakeError("be made"))?.as_ref())
    }

    /// The key of a file in PKCS #8.
    ///
    /// # Errors
    /// It is no key of P-256.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, MakeError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes, &random);
        Ok(Self {
            key: key.map_err(|_| MakeError("be read"))?,
            pkcs8: bytes.to_vec(),
        })
    }

    /// The private key in PKCS #8.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key in PEM: what `trust keys add` takes.
    pub fn public(&self) -> String {
        // The prefix and the point's first byte are 27 bytes: base64 of both together is the base64 of each.
        let point = self.key.public_key().as_ref().get(1..).unwrap_or_default();
        let text = format!("{PREFIX}{}", STANDARD.encode(point));
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(LINE.min(rest.len()));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// Signs any bytes: base64 of a DER signature.
    ///
    /// # Errors
    /// The kernel gives no randomness.
    pub fn sign(&self, bytes: &[u8]) -> Result<String, MakeError> {
        let signature = self.key.sign(&SystemRandom::new(), bytes);
        Ok(STANDARD.encode(signature.map_err(|_| MakeError("sign"))?))
    }

    /// Payload, configuration and manifest of a signature, each to be stored by its digest.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn documents(&self, payload: &Payload) -> Result<[Vec<u8>; 3], MakeError> {
        let payload = payload
            .bytes()
            .map_err(|_| MakeError("sign this payload"))?;
        let signature = self.sign(&payload)?;
        let config = b"{}".to_vec();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(&config), "size": config.len(),
            },
            "layers": [{
                "mediaType": LAYER, "digest": digest_of(&payload), "size": payload.len(),
                "annotations": {ANNOTATION: signature},
            }],
        });
        Ok([payload, config, manifest.to_string().into_bytes()])
    }
}

/// The digest by which a document is stored.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    Digest::from_sha256(hash)
}
