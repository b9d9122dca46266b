//! A certificate that is made when it is asked for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

use crate::tls::Handshakes;
use crate::{Authority, AuthorityError, Certificate, Names, Purpose, Sign};

/// Who is certified for what, under which names, with which key.
pub(crate) struct Mint {
    authority: Arc<Authority>,
    key: Arc<dyn Sign>,
    purpose: Purpose,
    names: Names,
    now: fn() -> SystemTime,
    current: Mutex<Option<(Certificate, Arc<CertifiedKey>)>>,
}

impl Mint {
    pub(crate) fn new(
        authority: Arc<Authority>,
        key: Arc<dyn Sign>,
        (purpose, names): (Purpose, Names),
        now: fn() -> SystemTime,
    ) -> Self {
        Self {
            authority,
            key,
            purpose,
            names,
            now,
            current: Mutex::new(None),
        }
    }

    /// The certificate that is shown now: the last one as long as it is fresh, else a new one. May wait for the TPM.
    pub(crate) fn current(&self) -> Result<Arc<CertifiedKey>, AuthorityError> {
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
            .issue(self.purpose, &self.names, &public, now)?;
        let chain = vec![certificate.der.clone(), self.authority.root().clone()];
        let handshakes = Handshakes(Arc::clone(&self.key));
        let key = Arc::new(CertifiedKey::new(chain, Arc::new(handshakes)));
        tracing::info!(
            purpose = ?self.purpose,
            until = %time::OffsetDateTime::from(certificate.until),
            "made a certificate"
        );
        Ok((certificate, key))
    }
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mint")
            .field("purpose", &self.purpose)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
