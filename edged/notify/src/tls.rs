//! TLS towards https callbacks: rustls with ring; the system's authorities, those of the configuration and the box's own.

use std::io;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::ConnectError;
use crate::deliver::NotifyError;
use crate::steps::Steps;

/// Steps of handshakes at once: one may sign with a key in a TPM, which does one after the other.
const STEPS: usize = 4;

/// The box among those who believe its own authority.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The authority: a callback that it certified is believed.
    pub root: CertificateDer<'static>,
    /// What a callback is shown that asks who connects.
    pub certificate: Arc<dyn ResolvesClientCert>,
}

/// Whom an https callback is believed, and what it is shown.
#[derive(Debug)]
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    steps: Steps,
    /// Made for the first https callback: reading the system's authorities takes a while, and most boxes need none.
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// With the authorities of a PEM text and the box's own beside the system's.
    pub(crate) fn new(pem: Option<&[u8]>, own: Option<Identity>) -> Result<Self, NotifyError> {
        let refuse = |reason: String| NotifyError::Authority { reason };
        let mut extra: Vec<_> = CertificateDer::pem_slice_iter(pem.unwrap_or_default())
            .collect::<Result<_, _>>()
            .map_err(|error| refuse(error.to_string()))?;
        if pem.is_some() && extra.is_empty() {
            return Err(refuse("it holds no certificate".to_owned()));
        }
        let (root, certificate) = own.map(|own| (own.root, own.certificate)).unzip();
        extra.extend(root);
        let mut probe = RootCertStore::empty();
        for certificate in &extra {
            probe
                .add(certificate.clone())
                .map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self {
            extra,
            certificate,
            steps: Steps::new(STEPS),
            config: OnceCell::new(),
        })
    }

    /// The client's half of a handshake. Where the server asks for a certificate, making and proving it may wait for the
    /// TPM.
    pub(crate) async fn shake(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> Result<io::Result<TlsStream<TcpStream>>, ConnectError> {
        let connector = TlsConnector::from(self.config().await?);
        let shaken = self.steps.take(connector.connect(name, stream)).await;
        Ok(shaken.and_then(|shaken| shaken))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let make = || async {
            let (extra, certificate) = (self.extra.clone(), self.certificate.clone());
            tokio::task::spawn_blocking(move || config(extra, certificate))
                .await
                .map_err(|error| ConnectError::Trust(error.to_string()))?
        };
        self.config.get_or_try_init(make).await.cloned()
    }
}

fn config(
    extra: Vec<CertificateDer<'static>>,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(extra);
    // A provider of its own, so that nothing depends on a process-wide default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Trust(error.to_string()))?;
    let builder = builder.with_root_certificates(roots);
    Ok(Arc::new(match certificate {
        Some(certificate) => builder.with_client_cert_resolver(certificate),
        None => builder.with_no_client_auth(),
    }))
}
