//! Certificates of operators (OpenSSH, `PROTOCOL.certkeys`): a key that is not on any list, vouched for by the box's own
//! authority for some hours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_authority::{POINT, Sign};
use edged_console::Standing;
use russh::keys::signature::{self, Signer};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::public::{EcdsaPublicKey, KeyData};
use russh::keys::ssh_key::{Fingerprint, Signature};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey};

use crate::operators::{Operator, USER};

/// Longest life of a certificate: nothing takes one back, so it ends soon by itself.
pub const LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long before its making it begins: clocks of others are late.
const BACKDATED: Duration = Duration::from_secs(300);
/// Bytes of a nonce, as ssh-keygen makes them.
const NONCE: usize = 32;
/// Longest name of an operator that is kept.
const NAME_MAX: usize = 64;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Something else than one public key.
    #[error("standard input is no public key in one line; give it a .pub file of ssh-keygen")]
    Key,
    /// Longer than [`LIFE_MAX`], or nothing.
    #[error("a certificate lasts from one minute to seven days: nothing takes it back")]
    Life,
    /// Not printable, or too long.
    #[error("the name of an operator has 1 to {NAME_MAX} printable characters; say it with --name")]
    Name,
    /// The key does not sign, or the clock is before 1970.
    #[error("the certificate could not be made: {0}")]
    Make(String),
}

/// The authority whose certificates open the door.
#[derive(Debug)]
pub(crate) struct Authority {
    fingerprint: Fingerprint,
}

impl Authority {
    /// By its public key; nothing for a point that is none.
    pub(crate) fn new(point: &[u8; POINT]) -> Option<Self> {
        let key = key_data(point)?;
        Some(Self {
            fingerprint: key.fingerprint(HashAlg::Sha256),
        })
    }

    /// Whom a user name and a certificate belong to now. The client has shown that it has the key.
    pub(crate) fn who(
        &self,
        user: &str,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Option<Operator> {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let is_named = certificate
            .valid_principals()
            .iter()
            .any(|name| name == USER);
        let is_good = user == USER
            && certificate.cert_type() == CertType::User
            // No name at all would be every name.
            && is_named
            // A restriction that is not understood is kept by keeping its bearer out.
            && certificate.critical_options().is_empty()
            && certificate.validate_at(now, [&self.fingerprint]).is_ok();
        is_good.then(|| Operator {
            name: format!("{} (certificate)", certificate.key_id()),
            standing: Standing::Guest,
            // As it is good now, it ends later.
            stay: Some(Duration::from_secs(
                certificate.valid_before().saturating_sub(now),
            )),
        })
    }
}

/// A certificate with which the owner of a public key is an operator for a while; a line, as ssh-keygen writes it.
/// May wait for the TPM: never on the thread that serves.
///
/// # Errors
/// [`CertificateError`].
pub fn certify_operator(
    authority: &dyn Sign,
    public_key: &str,
    name: Option<&str>,
    (now, life): (SystemTime, Duration),
    nonce: [u8; NONCE],
) -> Result<String, CertificateError> {
    let key = PublicKey::from_openssh(public_key.trim()).map_err(|_| CertificateError::Key)?;
    if life < Duration::from_secs(60) || life > LIFE_MAX {
        return Err(CertificateError::Life);
    }
    let comment = key.comment().to_string();
    let name = name.unwrap_or(&comment);
    let is_plain = |c: char| !c.is_control();
    if name.is_empty() || name.chars().count() > NAME_MAX || !name.chars().all(is_plain) {
        return Err(CertificateError::Name);
    }
    let make = |error: &dyn std::fmt::Display| CertificateError::Make(error.to_string());
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_err(|error| make(&error))?;
    let begins = now.saturating_sub(BACKDATED).as_secs();
    let ends = now.saturating_add(life).as_secs();
    let point = authority.public();
    let issuing = Issuing {
        authority,
        public: key_data(&point).ok_or_else(|| make(&"the authority's key is none"))?,
    };
    let mut builder = Builder::new(nonce.to_vec(), key.key_data().clone(), begins, ends)
        .map_err(|error| make(&error))?;
    let filled = (|| {
        builder.cert_type(CertType::User)?;
        builder.key_id(name)?;
        builder.valid_principal(USER)?;
        builder.extension("permit-pty", "")?;
        builder.comment(name)?;
        builder.sign(&issuing)
    })();
    let certificate = filled.map_err(|error| make(&error))?;
    certificate.to_openssh().map_err(|error| make(&error))
}

pub(crate) fn key_data(point: &[u8; POINT]) -> Option<KeyData> {
    let key = EcdsaPublicKey::from_sec1_bytes(point).ok()?;
    Some(KeyData::Ecdsa(key))
}

/// A [`Sign`] as ssh-key asks for it.
pub(crate) struct Issuing<'a> {
    pub(crate) authority: &'a dyn Sign,
    pub(crate) public: KeyData,
}

impl From<&Issuing<'_>> for KeyData {
    fn from(issuing: &Issuing<'_>) -> Self {
        issuing.public.clone()
    }
}

impl Signer<Signature> for Issuing<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        let signed = self.authority.sign(message);
        let signed = signed.map_err(signature::Error::from_source)?;
        // Two integers of RFC 4251, 5, as RFC 5656, 3.1.2 has them.
        let mut blob = Vec::with_capacity(2 * (4 + 33));
        for half in signed.chunks(signed.len() / 2) {
            let zeros = half.iter().take_while(|byte| **byte == 0).count();
            let digits = half.get(zeros..).unwrap_or_default();
            let sign = usize::from(digits.first().is_some_and(|first| first & 0x80 != 0));
            let length = u32::try_from(digits.len() + sign).unwrap_or(u32::MAX);
            blob.extend(length.to_be_bytes());
            blob.extend(std::iter::repeat_n(0, sign));
            blob.extend_from_slice(digits);
        }
        let curve = EcdsaCurve::NistP256;
        Signature::new(Algorithm::Ecdsa { curve }, blob).map_err(signature::Error::from_source)
    }
}
