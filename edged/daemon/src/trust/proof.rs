//! Who the box is and what it booted, in its TPM's words.

use std::fs::File;
use std::io::{self, Read as _};

use edged_console::{ErrorKind, PlatformError};
use edged_evidence::golden::phases;
use edged_evidence::{Activated, Credential, Evidence, Identity, qualifying};
use edged_mec::Statement;
use edged_trust::{Keeper, Tpm, TrustError};
use serde_json::{Value, json};

use super::{Trust, build};

/// Largest log that is sent: what a verifier reads.
const LOG_MAX: u64 = 1 << 20;

impl Trust {
    /// Who the box is.
    pub async fn identity(&self) -> Result<Identity, PlatformError> {
        let identity = self.tpm()?.asked(Tpm::identity).await;
        identity.map_err(|error| refused(&error))
    }

    /// Opens a credential that was made for the box's TPM.
    pub async fn activate(&self, credential: &str) -> Result<Activated, PlatformError> {
        let credential: Credential = serde_json::from_str(credential).map_err(|error| {
            PlatformError::new(
                ErrorKind::Invalid,
                format!("this is no credential: {error}"),
            )
            .with_hint("edgectl trust enrol makes it")
        })?;
        let opened = self
            .tpm()?
            .asked(move |tpm| tpm.activate(&credential))
            .await;
        let secret = opened.map_err(|error| {
            tracing::warn!("a credential was not opened: {error}");
            PlatformError::new(
                ErrorKind::Invalid,
                "the TPM does not open this credential: it was made for another box",
            )
        })?;
        Ok(Activated {
            secret: secret.into(),
        })
    }

    /// What the box booted, for this question; with a nonce alone where the asker has tpm2-tools.
    pub async fn attest(
        &self,
        nonce: &[u8],
        plain: bool,
        application: Option<&Statement>,
    ) -> Result<Evidence, PlatformError> {
        let build = build(&self.config);
        let statement = (!plain)
            .then(|| json!({ "version": env!("CARGO_PKG_VERSION"), "build": build, "application": application }).to_string());
        self.evidence(nonce, statement).await
    }

    async fn evidence(
        &self,
        nonce: &[u8],
        statement: Option<String>,
    ) -> Result<Evidence, PlatformError> {
        let asked = qualifying(nonce, statement.as_deref());
        let keeper = self.tpm()?;
        let quoted = keeper.asked(move |tpm| {
            let key = tpm.attestation_public()?;
            Ok((tpm.quote(&asked)?, key))
        });
        let ((quote, registers), key) = quoted.await.map_err(|error| refused(&error))?;
        let log = self.log().map_err(|error| {
            tracing::error!("the log of the boot cannot be read: {error}");
            PlatformError::new(ErrorKind::Internal, "the log of the boot cannot be read")
        })?;
        Ok(Evidence {
            nonce: nonce.to_vec().into(),
            statement,
            attest: quote.attest.into(),
            signature: quote.signature.into(),
            key: key.raw().to_vec().into(),
            registers,
            // The phases belong to the log: where nothing was measured, no phase was.
            after: log.as_ref().map_or_else(Vec::new, |_| phases().into()),
            log: log.map(Into::into),
        })
    }

    fn log(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(image) = &self.config.image else {
            return Ok(None);
        };
        let mut log = Vec::new();
        match File::open(&image.event_log) {
            Ok(file) => file.take(LOG_MAX).read_to_end(&mut log).map(|_| Some(log)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn tpm(&self) -> Result<&Keeper, PlatformError> {
        self.keeper.as_ref().ok_or_else(|| {
            PlatformError::new(
                ErrorKind::Conflict,
                "this box has software keys: there is no TPM to prove anything with",
            )
            .with_hint("trust status says which promises hold without one")
        })
    }
}

/// As it is answered.
pub fn shown<T: serde::Serialize>(value: &T) -> Result<Value, PlatformError> {
    serde_json::to_value(value)
        .map_err(|error| PlatformError::new(ErrorKind::Internal, error.to_string()))
}

fn refused(error: &TrustError) -> PlatformError {
    tracing::error!("the TPM: {error}");
    let kind = match error {
        TrustError::Busy(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    PlatformError::new(kind, error.to_string())
}
