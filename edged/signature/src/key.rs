//! Public keys in PEM, as `cosign generate-key-pair` and `openssl pkey -pubout` write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// What stands before an uncompressed point of P-256 in a key of one (RFC 5480, 2): DER has one form only.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same of P-384.
const P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// What stands before a key of Ed25519 (RFC 8410, 4).
const EDWARDS: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Longest text of a key: P-384 has 215 bytes, and some tools write a comment before it.
const PEM_MAX: usize = 4096;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or of something else.
    #[error("a key is one public key in PEM ({BEGIN}); {0}")]
    Pem(&'static str),
    /// RSA, other curves, and points that are none.
    #[error(
        "this key is of a kind that is not taken; make one of ECDSA on P-256 or P-384, or Ed25519"
    )]
    Kind,
}

/// A key that signs images.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: &'static dyn VerificationAlgorithm,
    point: Vec<u8>,
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads one key.
    ///
    /// # Errors
    /// [`KeyError`] for anything but one public key of a kind that is taken.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.len() > PEM_MAX {
            return Err(KeyError::Pem("this text is too long for one"));
        }
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Pem(
                "this is a private key, which never leaves its owner",
            ));
        }
        let (_, rest) = text
            .split_once(BEGIN)
            .ok_or(KeyError::Pem("there is none in this text"))?;
        let (body, rest) = rest
            .split_once(END)
            .ok_or(KeyError::Pem("its end is missing"))?;
        if rest.contains(BEGIN) {
            return Err(KeyError::Pem("there are several; add each by itself"));
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|_| KeyError::Pem("its base64 is damaged"))?;
        Self::from_der(&der)
    }

    /// Reads a `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7).
    ///
    /// # Errors
    /// [`KeyError::Kind`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let kinds: [(&[u8], usize, bool, &'static dyn VerificationAlgorithm); 3] = [
            (P256, 65, true, &ECDSA_P256_SHA256_ASN1),
            (P384, 97, true, &ECDSA_P384_SHA384_ASN1),
            (EDWARDS, 32, false, &ED25519),
        ];
        for (prefix, length, is_point, algorithm) in kinds {
            let Some(point) = der.strip_prefix(prefix) else {
                continue;
            };
            // 4: uncompressed (SEC 1, 2.3.3), the only form that ring reads.
            if point.len() == length && (!is_point || point.first() == Some(&4)) {
                return Ok(Self {
                    algorithm,
                    point: point.to_vec(),
                    der: der.to_vec(),
                });
            }
        }
        Err(KeyError::Kind)
    }

    /// SHA-256 of its `SubjectPublicKeyInfo`, hexadecimal: what `openssl pkey -pubin -outform DER | sha256sum` shows.
    pub fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for byte in digest(&SHA256, &self.der).as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whether it made this signature over this message.
    pub(crate) fn made(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.point)
            .verify(message, signature)
            .is_ok()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PublicKey")
            .field(&self.fingerprint())
            .finish()
    }
}
