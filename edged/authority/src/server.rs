//! The box where others connect to it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::mint::Mint;
use crate::{Authority, AuthorityError, Names, Purpose, Sign};

/// Who answers, under which names, with which key.
#[derive(Debug)]
pub struct Server(Mint);

impl Server {
    /// A server of the box's own.
    pub fn new(authority: Arc<Authority>, key: Arc<dyn Sign>, names: Names) -> Self {
        Self::with_clock(authority, key, names, SystemTime::now)
    }

    /// As [`Server::new`], with another clock.
    pub fn with_clock(
        authority: Arc<Authority>,
        key: Arc<dyn Sign>,
        names: Names,
        now: fn() -> SystemTime,
    ) -> Self {
        Self(Mint::new(authority, key, (Purpose::Server, names), now))
    }

    /// The certificate that is shown now: the last one as long as it is fresh, else a new one. May wait for the TPM.
    ///
    /// # Errors
    /// None is there that is good at this time, and none can be made.
    pub fn current(&self) -> Result<Arc<CertifiedKey>, AuthorityError> {
        self.0.current()
    }

    /// TLS 1.2 and 1.3 with this server's certificate (MEC 009, 6.22).
    ///
    /// # Errors
    /// None that happens: the library knows both versions.
    pub fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, AuthorityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let builder = builder.with_no_client_auth();
        Ok(Arc::new(builder.with_cert_resolver(resolver)))
    }
}

impl ResolvesServerCert for Server {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current();
        current
            .inspect_err(|error| tracing::error!(%error, "a connection is refused"))
            .ok()
    }
}
