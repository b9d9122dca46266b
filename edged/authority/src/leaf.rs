//! What a certificate says.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

/// How long a certificate lasts after its making.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long before its making it begins: clocks of others are late.
pub const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// How long after its beginning it is used at the earliest: a clock that went back further gets a new one, because
/// others that went back with it would not take this one much longer.
pub(crate) const EARLIEST: Duration = Duration::from_secs(3600);
/// How long before its end it is used at the latest.
pub(crate) const LATEST: Duration = Duration::from_secs(7 * 24 * 3600 / 3);
/// Characters of a line of PEM (RFC 7468, 2).
const LINE: usize = 64;
/// Bytes of a serial number: at most 20 (RFC 5280, 4.1.2.2).
const SERIAL: usize = 16;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be connected to.
    Server,
    /// To connect.
    Client,
    /// Both: a service of an application.
    Service,
}

impl Purpose {
    /// How long a certificate lasts: a day where an application asks for the next one itself.
    pub fn life(self) -> Duration {
        match self {
            Self::Server | Self::Client => LIFE,
            Self::Service => Duration::from_secs(24 * 3600),
        }
    }
}

/// Whose certificate it is.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// For people.
    pub common: String,
    /// Names of hosts.
    pub hosts: Vec<String>,
    /// Addresses of hosts.
    pub addresses: Vec<IpAddr>,
}

/// A certificate and the time in which it is used.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What is shown.
    pub der: CertificateDer<'static>,
    /// It begins.
    pub from: SystemTime,
    /// It ends.
    pub until: SystemTime,
}

impl Certificate {
    /// As a file has it (RFC 7468, 5).
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Whether it may be shown to somebody new.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        let last = self.until.checked_sub(LATEST);
        now >= self.from + EARLIEST && last.is_some_and(|last| now < last)
    }
}

/// DER as a text (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + &format!("-----END {label}-----\n")
}

pub(crate) fn params(
    purpose: Purpose,
    names: &Names,
    (from, until): (SystemTime, SystemTime),
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.hosts.clone())?;
    params
        .distinguished_name
        .push(DnType::CommonName, names.common.as_str());
    let addresses = names.addresses.iter().copied();
    params
        .subject_alt_names
        .extend(addresses.map(SanType::IpAddress));
    params.not_before = OffsetDateTime::from(from);
    params.not_after = OffsetDateTime::from(until);
    params.serial_number = Some(serial()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match purpose {
        Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::Service => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
    };
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// By rcgen itself it would be the key's, and one key has many certificates.
pub(crate) fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; SERIAL];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(first) = bytes.first_mut() {
        // Positive, and not shorter by a zero in front.
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
