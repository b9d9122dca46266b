//! TLS towards registries: rustls with ring, the system's authorities and those of the configuration.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::ImageError;

/// The authorities of the configured file; none where none is configured.
pub(super) fn authorities(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, ImageError> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let refuse = |reason: String| ImageError::Authority {
        path: path.to_owned(),
        reason,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(error.to_string()))?;
    if certificates.is_empty() {
        return Err(refuse("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// A configuration of its own, so that nothing depends on a process-wide default provider.
pub(super) fn config(file: Option<&Path>) -> Result<ClientConfig, ImageError> {
    let mut roots = RootCertStore::empty();
    // A box without the system's store can still reach registries of its own authority.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = file {
        for certificate in authorities(file)? {
            let refuse = |error: rustls::Error| ImageError::Authority {
                path: path.to_owned(),
                reason: error.to_string(),
            };
            roots.add(certificate).map_err(refuse)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ImageError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
