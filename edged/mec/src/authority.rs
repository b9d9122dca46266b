//! The box's own certificate authority and its server certificate (RFC 5280), made once and kept.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    /// The files do not fit together.
    #[error("{path} cannot serve TLS: {reason}; remove the folder and a new certificate is made")]
    Serve {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The folder with `ca.pem`, `ca.key`, `server.pem` and `server.key`.
#[derive(Debug, Clone)]
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Opens the folder; makes authority and server certificate where they are missing.
    pub fn open(
        folder: &Path,
        site: &str,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Self, AuthorityError> {
        let authority = Self {
            folder: folder.to_owned(),
        };
        if !authority.file("server.pem").exists() {
            std::fs::create_dir_all(folder).map_err(|source| AuthorityError::File {
                path: folder.to_owned(),
                source,
            })?;
            authority.make(site, names, addresses)?;
        }
        Ok(authority)
    }

    /// The authority's certificate, for clients to trust.
    pub fn certificate(&self) -> PathBuf {
        self.file("ca.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make(
        &self,
        site: &str,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<(), AuthorityError> {
        let mut root = CertificateParams::default();
        root.distinguished_name
            .push(DnType::CommonName, format!("{site} edged authority"));
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_key = KeyPair::generate()?;
        let root_certificate = root.self_signed(&root_key)?;

        let mut server = CertificateParams::new(names.to_vec())?;
        server
            .distinguished_name
            .push(DnType::CommonName, format!("{site} edged"));
        server
            .subject_alt_names
            .extend(addresses.iter().copied().map(SanType::IpAddress));
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let server_key = KeyPair::generate()?;
        let server_certificate =
            server.signed_by(&server_key, &Issuer::from_params(&root, &root_key))?;

        self.write_private("ca.key", &root_key.serialize_pem())?;
        self.write_private("server.key", &server_key.serialize_pem())?;
        self.write("ca.pem", &root_certificate.pem())?;
        // Last: its presence says that all are there.
        self.write(
            "server.pem",
            &format!("{}{}", server_certificate.pem(), root_certificate.pem()),
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), AuthorityError> {
        let path = self.file(name);
        write_durably(&path, text.as_bytes(), 0o644)
            .map_err(|source| AuthorityError::File { path, source })
    }

    fn write_private(&self, name: &str, text: &str) -> Result<(), AuthorityError> {
        let path = self.file(name);
        write_private(&path, text.as_bytes())
            .map_err(|source| AuthorityError::File { path, source })
    }

    /// TLS 1.2 and 1.3 with the server certificate (MEC 009, 6.22).
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let serve = |reason: String| AuthorityError::Serve {
            path: self.folder.clone(),
            reason,
        };
        let chain = CertificateDer::pem_file_iter(self.file("server.pem"))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| serve(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_file(self.file("server.key"))
            .map_err(|error| serve(error.to_string()))?;
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map(Arc::new)
            .map_err(|error| serve(error.to_string()))
    }
}

/// Writes a file that only its owner can read: whole and on the disk, or not there.
///
/// # Errors
/// The disk's.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_durably(path, bytes, 0o600)
}

/// The name comes last, so that a power cut leaves the whole file or none: a name whose bytes were still in memory is an
/// empty file afterwards, and a box with an empty certificate never serves again.
pub(crate) fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
