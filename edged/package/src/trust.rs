//! Whose packages are taken.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::pem;

/// `id-kp-codeSigning` (RFC 5280, 4.2.1.12), as the bytes of its object identifier.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// Certificates that an operator lists; more would be a public key infrastructure, and that has one root.
const TRUSTED_MAX: usize = 64;

/// Why a set of trusted certificates is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No PEM, or another kind of it.
    #[error("trusted signers are certificates in PEM (-----BEGIN CERTIFICATE-----); {0}")]
    Pem(&'static str),
    /// Not X.509.
    #[error("trusted certificate number {0} is no X.509 certificate ({1}); export it again as PEM")]
    Certificate(usize, x509_cert::der::Error),
    /// Too many.
    #[error(
        "{0} trusted certificates are more than {TRUSTED_MAX}; trust the authority that issued them"
    )]
    TooMany(usize),
}

/// Who may sign packages: certificates of signers, or of authorities that issue such.
///
/// An empty set trusts nobody. A certificate that is listed itself needs no issuer; one that is not must chain to a
/// listed one, be made for signing code where it says what it is for, and every certificate must be valid at the time
/// that the caller gives.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    unsigned: bool,
}

impl Trust {
    /// Reads certificates in PEM; the text may hold several.
    ///
    /// # Errors
    /// [`TrustError`] when the text holds anything but certificates, or none.
    pub fn from_pem(text: &str) -> Result<Self, TrustError> {
        let certificates = certificates(text)?;
        if certificates.is_empty() {
            return Err(TrustError::Pem("there is none in this text"));
        }
        if certificates.len() > TRUSTED_MAX {
            return Err(TrustError::TooMany(certificates.len()));
        }
        Ok(Self {
            certificates,
            unsigned: false,
        })
    }

    /// Also takes packages that nobody signed. An operator's explicit choice: whoever can send a package then decides
    /// what runs. A signature that is there must still be right.
    #[must_use]
    pub fn accept_unsigned(self) -> Self {
        Self {
            unsigned: true,
            ..self
        }
    }

    pub(crate) fn takes_unsigned(&self) -> bool {
        self.unsigned
    }

    /// Whether a package that was taken before would be taken now: `chain` is its [`crate::Signer::chain`], absent where
    /// nobody signed it.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn takes(&self, chain: Option<&str>, at: SystemTime) -> Result<(), String> {
        let Some(chain) = chain else {
            return if self.unsigned {
                Ok(())
            } else {
                Err("nobody signed it, and unsigned packages are taken no more; sign it".to_owned())
            };
        };
        let all = certificates(chain).map_err(|error| error.to_string())?;
        let (signer, others) = all
            .split_first()
            .ok_or("its signer was not kept; on-board it again")?;
        self.judge(signer, others, at)
    }

    /// Whether a signer's certificate is trusted at a time; what is wrong and what to do, where it is not.
    pub(crate) fn judge(
        &self,
        signer: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        at: SystemTime,
    ) -> Result<(), String> {
        let since_1970 = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| "the clock is before 1970; set the time".to_owned())?;
        if self.certificates.iter().any(|trusted| trusted == signer) {
            return in_time(signer, since_1970);
        }
        let anchors: Vec<_> = self
            .certificates
            .iter()
            .filter(|trusted| in_time(trusted, since_1970).is_ok())
            .filter_map(|trusted| anchor_from_trusted_cert(trusted).ok())
            .collect();
        let signer = EndEntityCert::try_from(signer).map_err(|error| {
            format!(
                "the signer's certificate is not taken ({error}); trust it by itself or renew it"
            )
        })?;
        signer
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                others,
                UnixTime::since_unix_epoch(since_1970),
                KeyUsage::required_if_present(CODE_SIGNING),
                None,
                None,
            )
            .map(|_| ())
            .map_err(|error| match error {
                // A stranger may have the name of somebody trusted: then the issuer is found and its key does not fit.
                webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                    "the signer is not trusted; add its certificate or its issuer's to the trusted signers".to_owned()
                }
                webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                    format!("the signer's certificate is not valid at this time ({error}); sign with a valid one, or set the clock")
                }
                other => format!("the signer's certificate is refused ({other}); sign with another"),
            })
    }
}

/// Whether a certificate is valid at a time.
fn in_time(certificate: &CertificateDer<'_>, since_1970: Duration) -> Result<(), String> {
    let parsed = Certificate::from_der(certificate).map_err(|error| {
        format!("the signer's certificate cannot be read ({error}); make it again")
    })?;
    let validity = parsed.tbs_certificate().validity();
    let not_before = validity.not_before.to_unix_duration();
    let not_after = validity.not_after.to_unix_duration();
    if since_1970 < not_before {
        return Err(format!(
            "the signer's certificate is valid from {} on; set the clock, or wait",
            validity.not_before
        ));
    }
    if since_1970 > not_after {
        return Err(format!(
            "the signer's certificate expired at {}; sign with a valid one",
            validity.not_after
        ));
    }
    Ok(())
}

/// The certificates of a PEM text, parsed once to see that they are such.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let blocks = pem::blocks(text).ok_or(TrustError::Pem("a block is damaged"))?;
    blocks
        .into_iter()
        .enumerate()
        .map(|(number, block)| {
            if block.label != "CERTIFICATE" {
                return Err(TrustError::Pem(
                    "there is something else in this text; a key is never needed here",
                ));
            }
            Certificate::from_der(&block.der)
                .and_then(|certificate| certificate.to_der())
                .map(CertificateDer::from)
                .map_err(|error| TrustError::Certificate(number + 1, error))
        })
        .collect()
}
