//! TLS towards https callbacks: rustls with ring; the system's authorities and those of the configuration.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use crate::connect::ConnectError;
use crate::deliver::NotifyError;

/// Whom an https callback is believed.
#[derive(Debug)]
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    /// Made for the first https callback: reading the system's authorities takes a while, and most boxes need none.
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// With the authorities of a PEM text beside the system's.
    pub(crate) fn new(pem: Option<&[u8]>) -> Result<Self, NotifyError> {
        let refuse = |reason: String| NotifyError::Authority { reason };
        let extra: Vec<_> = CertificateDer::pem_slice_iter(pem.unwrap_or_default())
            .collect::<Result<_, _>>()
            .map_err(|error| refuse(error.to_string()))?;
        if pem.is_some() && extra.is_empty() {
            return Err(refuse("it holds no certificate".to_owned()));
        }
        let mut probe = RootCertStore::empty();
        for certificate in &extra {
            probe
                .add(certificate.clone())
                .map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self {
            extra,
            config: OnceCell::new(),
        })
    }

    pub(crate) async fn config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let extra = || self.extra.clone();
        let make = || async {
            let extra = extra();
            tokio::task::spawn_blocking(move || config(extra))
                .await
                .map_err(|error| ConnectError::Trust(error.to_string()))?
        };
        self.config.get_or_try_init(make).await.cloned()
    }
}

fn config(extra: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut roots = RootCertStore::empty();
    // A box without the system's store still reaches callbacks of its own authority.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(extra);
    // A provider of its own, so that nothing depends on a process-wide default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Trust(error.to_string()))?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}
