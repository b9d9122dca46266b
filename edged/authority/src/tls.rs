//! A [`Sign`] in the forms that rcgen and rustls ask for.

use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm as Algorithm};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::{POINT, SIGNATURE, Sign, SignError};

/// ASN.1's tags of a sequence and of an integer (X.690, 8).
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// For rcgen.
pub(crate) struct Issuing<'a> {
    pub(crate) key: &'a dyn Sign,
    pub(crate) public: [u8; POINT],
}

/// Somebody else's public key, for rcgen.
pub(crate) struct Subject(pub(crate) [u8; POINT]);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static Algorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl PublicKeyData for Issuing<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static Algorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Issuing<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = signature(self.key, message);
        signed.map_err(|error| {
            tracing::error!(%error, "a certificate was not signed");
            rcgen::Error::RemoteKeyError
        })
    }
}

/// For rustls.
#[derive(Debug)]
pub(crate) struct Handshakes(pub(crate) Arc<dyn Sign>);

impl SigningKey for Handshakes {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if !offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256) {
            return None;
        }
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Handshakes {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        signature(&*self.0, message).map_err(|error| {
            tracing::error!(%error, "a handshake was not signed");
            rustls::Error::General(error.to_string())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

fn signature(key: &dyn Sign, message: &[u8]) -> Result<Vec<u8>, SignError> {
    key.sign(message).map(|signature| der(&signature))
}

/// Two integers in a sequence (RFC 3279, 2.2.3). Each has at most 33 bytes, so every length is one byte.
fn der(signature: &[u8; SIGNATURE]) -> Vec<u8> {
    let mut body = Vec::with_capacity(SIGNATURE + 6);
    for half in signature.chunks(SIGNATURE / 2) {
        let zeros = half.iter().take_while(|byte| **byte == 0).count();
        let digits = half.get(zeros.min(half.len() - 1)..).unwrap_or_default();
        // A first bit that is set would be a minus.
        let sign = usize::from(digits.first().is_some_and(|first| first & 0x80 != 0));
        body.push(INTEGER);
        body.push(u8::try_from(digits.len() + sign).unwrap_or(u8::MAX));
        body.extend(std::iter::repeat_n(0, sign));
        body.extend_from_slice(digits);
    }
    let mut all = vec![SEQUENCE, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    all.append(&mut body);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_short_as_they_can_be_and_never_negative() {
        let mut signature = [0; SIGNATURE];
        signature[31] = 0x7f;
        signature[62] = 0x80;
        assert_eq!(der(&signature), [0x30, 8, 2, 1, 0x7f, 2, 3, 0, 0x80, 0]);
        signature = [0xff; SIGNATURE];
        assert_eq!(der(&signature).len(), 2 + 2 * (2 + 33));
        signature = [0; SIGNATURE];
        assert_eq!(der(&signature), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }
}
