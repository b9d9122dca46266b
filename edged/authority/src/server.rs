//! A server whose certificate is made when it is asked for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::Serving;
use crate::{Authority, AuthorityError, Certificate, Names, Purpose, Sign};

/// Who answers, under which names, with which key.
pub struct Server {
    authority: Arc<Authority>,
    key: Arc<dyn Sign>,
    names: Names,
    now: fn() -> SystemTime,
    current: Mutex<Option<(Certificate, Arc<CertifiedKey>)>>,
}

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
        Self {
            authority,
            key,
            names,
            now,
            current: Mutex::new(None),
        }
    }

    /// The certificate that is shown now: the last one as long as it is fresh, else a new one. May wait for the TPM.
    ///
    /// # Errors
    /// None is there that is good at this time, and none can be made.
    pub fn current(&self) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let now = (self.now)();
        // Held while one is made: whoever connects meanwhile wants this very one.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((certificate, key)) = &*current
            && certificate.is_fresh(now)
        {
            return Ok(Arc::clone(key));
        }
        match self.make(now) {
            Ok((certificate, key)) => {
                *current = Some((certificate, Arc::clone(&key)));
                Ok(key)
            }
            Err(error) => match &*current {
                // Not fresh, but good: better than none.
                Some((certificate, key)) if certificate.from <= now && now < certificate.until => {
                    tracing::warn!(%error, "the certificate is not renewed yet");
                    Ok(Arc::clone(key))
                }
                _ => Err(error),
            },
        }
    }

    fn make(&self, now: SystemTime) -> Result<(Certificate, Arc<CertifiedKey>), AuthorityError> {
        let public = self.key.public();
        let certificate = self
            .authority
            .issue(Purpose::Server, &self.names, &public, now)?;
        let chain = vec![certificate.der.clone(), self.authority.root().clone()];
        let serving = Serving(Arc::clone(&self.key));
        let key = Arc::new(CertifiedKey::new(chain, Arc::new(serving)));
        tracing::info!(until = %time::OffsetDateTime::from(certificate.until), "made a certificate");
        Ok((certificate, key))
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
