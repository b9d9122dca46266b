//! The box where it connects to others: its device certificate.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use crate::mint::Mint;
use crate::{Authority, AuthorityError, Names, Purpose, Sign};

/// Who connects, under which names, with which key.
#[derive(Debug)]
pub struct Client {
    mint: Mint,
    /// The name of the root, as a server lists whom it believes.
    root: Vec<u8>,
}

impl Client {
    /// A client of the box's own.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn new(
        authority: Arc<Authority>,
        key: Arc<dyn Sign>,
        names: Names,
    ) -> Result<Self, AuthorityError> {
        Self::with_clock(authority, key, names, SystemTime::now)
    }

    /// As [`Client::new`], with another clock.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn with_clock(
        authority: Arc<Authority>,
        key: Arc<dyn Sign>,
        names: Names,
        now: fn() -> SystemTime,
    ) -> Result<Self, AuthorityError> {
        let root = authority.subject()?;
        let mint = Mint::new(authority, key, (Purpose::Client, names), now);
        Ok(Self { mint, root })
    }

    /// The certificate that is shown now: the last one as long as it is fresh, else a new one. May wait for the TPM.
    ///
    /// # Errors
    /// None is there that is good at this time, and none can be made.
    pub fn current(&self) -> Result<Arc<CertifiedKey>, AuthorityError> {
        self.mint.current()
    }
}

impl ResolvesClientCert for Client {
    /// Asked only where the server asks. One that lists others gets nothing: it may do without a certificate, and would
    /// not do with one that it does not know.
    fn resolve(&self, roots: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if !roots.is_empty() && !roots.contains(&self.root.as_slice()) {
            return None;
        }
        let current = self.current();
        current
            .inspect_err(|error| tracing::error!(%error, "connecting without a certificate"))
            .ok()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
