//! The key that a developer signs with.

use std::time::{Duration, SystemTime};

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::hash::Algorithm;
use crate::{pem, signature, trust};

/// How long a first certificate is good: two years, as for certificates that no authority can take back.
const VALIDITY: Duration = Duration::from_secs(2 * 365 * 86_400);
/// The certificate begins a little earlier than it was made: the box's clock may be behind.
const SKEW: Duration = Duration::from_secs(3_600);

/// Why there is no identity to sign with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not a key we sign with.
    #[error(
        "the signing key is no EC P-256 key in PKCS#8 PEM ({0}); convert it with openssl pkcs8 -topk8 -nocrypt"
    )]
    Key(p256::pkcs8::Error),
    /// Not a certificate.
    #[error("the signer's certificate cannot be used: {0}")]
    Certificate(#[from] trust::TrustError),
    /// Two things that do not belong together.
    #[error("the certificate is for another key; give the certificate of the signing key")]
    Mismatch,
    /// Making one failed.
    #[error("a key for {common_name:?} cannot be made ({source}); try another name")]
    Generate {
        /// For whom.
        common_name: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// Signing failed.
    #[error("the signature cannot be written ({0}); make a new certificate")]
    Sign(der::Error),
}

/// A key and its certificate.
pub struct SigningIdentity {
    key: SigningKey,
    key_pem: String,
    certificate: Certificate,
    certificate_pem: String,
}

impl std::fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key never reaches a log.
        f.debug_struct("SigningIdentity")
            .field(
                "subject",
                &self.certificate.tbs_certificate().subject().to_string(),
            )
            .finish_non_exhaustive()
    }
}

impl SigningIdentity {
    /// A key that somebody has: PKCS#8 PEM, EC on P-256; and its certificate, PEM, first where there are several.
    ///
    /// # Errors
    /// [`IdentityError`] when one of them is of another kind, or the two do not belong together.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, IdentityError> {
        let signing = SigningKey::from_pkcs8_pem(key.trim()).map_err(IdentityError::Key)?;
        let all = trust::certificates(certificate)?;
        let der = all
            .first()
            .ok_or(trust::TrustError::Pem("there is none in this text"))?;
        let parsed =
            Certificate::from_der(der).map_err(|error| trust::TrustError::Certificate(1, error))?;
        let point = signing.verifying_key().to_sec1_point(false);
        let certified = parsed.tbs_certificate().subject_public_key_info();
        if certified.subject_public_key.as_bytes() != Some(point.as_bytes()) {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self {
            key: signing,
            key_pem: key.to_owned(),
            certificate_pem: pem::block("CERTIFICATE", der),
            certificate: parsed,
        })
    }

    /// A first key and a certificate for it, signed by itself, good for two years from `now`.
    ///
    /// # Errors
    /// [`IdentityError::Generate`] for a name that a certificate cannot hold.
    pub fn generate(common_name: &str, now: SystemTime) -> Result<Self, IdentityError> {
        let refuse = |source| IdentityError::Generate {
            common_name: common_name.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(refuse)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(refuse)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let begin = OffsetDateTime::from(now - SKEW);
        params.not_before = begin;
        params.not_after = begin + VALIDITY;
        let certificate = params.self_signed(&key).map_err(refuse)?;
        Self::from_pem(&key.serialize_pem(), &certificate.pem())
    }

    /// The key, PKCS#8 PEM: a secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate, PEM: what a box is told to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A detached CMS signature (RFC 5652) over `content`, DER. The same content gives the same signature (RFC 6979).
    ///
    /// # Errors
    /// [`IdentityError::Sign`] when the certificate has a name or number that DER cannot hold.
    pub fn sign(&self, content: &[u8]) -> Result<Vec<u8>, IdentityError> {
        signature::sign(
            &self.certificate,
            &Algorithm::Sha256.bytes_of(content),
            |attributes| {
                let made: DerSignature = self.key.sign(attributes);
                made.to_der().unwrap_or_default()
            },
        )
        .map_err(IdentityError::Sign)
    }
}
