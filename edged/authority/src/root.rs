//! The root: made once, and what a box's clients trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use time::macros::datetime;
use x509_cert::der::asn1::Utf8StringRef;
use x509_cert::der::{Decode as _, Encode as _};

use crate::leaf::{self, serial};
use crate::tls::{Issuing, Subject};
use crate::{BACKDATED, Certificate, Names, POINT, Purpose, Sign, write_durably};

/// The root is good from before every box.
const FIRST: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);
/// To the last day that X.509 has (RFC 5280, 4.1.2.5).
const LAST: OffsetDateTime = datetime!(9999-12-31 00:00 UTC);
/// The root's file.
const ROOT: &str = "ca.pem";

/// Why the box has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The root is none.
    #[error(
        "the root of the box's certificates cannot be read: {0}; remove it and start edged anew"
    )]
    Root(#[from] x509_cert::der::Error),
    /// The clock is where no certificate can be.
    #[error("the clock is too far from any year of people; set the time")]
    Clock,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Who signs certificates on this box, and the root that says so.
#[derive(Debug)]
pub struct Authority {
    key: Arc<dyn Sign>,
    site: String,
    path: PathBuf,
    root: CertificateDer<'static>,
}

impl Authority {
    /// Opens the folder with the root's certificate; makes it where it is missing, or of another key or site.
    ///
    /// # Errors
    /// The folder cannot be used, or the key does not sign.
    pub fn open(folder: &Path, site: &str, key: Arc<dyn Sign>) -> Result<Self, AuthorityError> {
        let path = folder.join(ROOT);
        let failed = |source| AuthorityError::File {
            path: path.clone(),
            source,
        };
        let kept = match std::fs::read(&path) {
            Ok(pem) => CertificateDer::from_pem_slice(&pem).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        // With its tag and length: one name may end with another.
        let name = common_name(site);
        let name = Utf8StringRef::new(&name)?.to_der()?;
        let ours = |root: &CertificateDer<'_>| holds(root, &key.public()) && holds(root, &name);
        let root = if let Some(root) = kept.filter(ours) {
            root
        } else {
            let made = root_params(site)?.self_signed(&issuing(&*key))?;
            std::fs::create_dir_all(folder)
                .and_then(|()| write_durably(&path, made.pem().as_bytes(), 0o644))
                .map_err(failed)?;
            made.der().clone()
        };
        Ok(Self {
            key,
            site: site.to_owned(),
            path,
            root,
        })
    }

    /// The file of the root's certificate, for clients to trust.
    pub fn certificate(&self) -> &Path {
        &self.path
    }

    /// The root's certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The root's certificate, as a file has it.
    pub fn root_pem(&self) -> String {
        leaf::pem("CERTIFICATE", &self.root)
    }

    /// The root's name (DER), as servers list whom they believe (RFC 8446, 4.2.4).
    ///
    /// # Errors
    /// The root is no certificate.
    pub(crate) fn subject(&self) -> Result<Vec<u8>, AuthorityError> {
        let root = x509_cert::Certificate::from_der(&self.root)?;
        Ok(root.tbs_certificate().subject().to_der()?)
    }

    /// A certificate for a public key, good from now on for [`Purpose::life`]. May wait for the TPM.
    ///
    /// # Errors
    /// A name is none, or the key does not sign.
    pub fn issue(
        &self,
        purpose: Purpose,
        names: &Names,
        public: &[u8; POINT],
        now: SystemTime,
    ) -> Result<Certificate, AuthorityError> {
        let from = now.checked_sub(BACKDATED).ok_or(AuthorityError::Clock)?;
        let until = now
            .checked_add(purpose.life())
            .ok_or(AuthorityError::Clock)?;
        let params = leaf::params(purpose, names, (from, until))?;
        let root = root_params(&self.site)?;
        let issuer = Issuer::from_params(&root, issuing(&*self.key));
        let made = params.signed_by(&Subject(*public), &issuer)?;
        Ok(Certificate {
            der: made.der().clone(),
            from,
            until,
        })
    }
}

fn issuing(key: &dyn Sign) -> Issuing<'_> {
    Issuing {
        key,
        public: key.public(),
    }
}

fn common_name(site: &str) -> String {
    format!("{site} edged authority")
}

/// Who keeps it keeps it.
fn root_params(site: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, common_name(site));
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    root.not_before = FIRST;
    root.not_after = LAST;
    root.serial_number = Some(serial()?);
    Ok(root)
}

/// Is that in a certificate? Its key is 65 bytes that stand nowhere else; its name was written by us.
fn holds(certificate: &CertificateDer<'_>, what: &[u8]) -> bool {
    certificate.windows(what.len()).any(|window| window == what)
}
