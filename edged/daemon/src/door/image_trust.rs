//! Whose images are taken: keys and policy.

use std::time::SystemTime;

use edged_console::{AddKeyArgs, ErrorKind, ImageKeyView, IssueArgs, PlatformError};
use edged_image::{ImageError, ImageTrust};
use edged_signature::{KeyName, KnownKey, Policy, RecordError, Validity};
use edged_ssh::{CertificateError, certify_operator};
use edged_trust::Purpose;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Door, error};

/// Longest public key in PEM that is read; P-384 has 215 bytes.
const KEY_MAX: u64 = 4 << 10;
/// Longest policy that is read: 256 rules have less.
const POLICY_MAX: u64 = 256 << 10;

impl Door {
    fn image_trust(&self) -> &ImageTrust {
        self.means.images.trust()
    }

    pub(super) fn image_key_views(&self) -> Vec<ImageKeyView> {
        let keys = self.image_trust().keys();
        keys.into_iter()
            .map(|(name, known)| view(&name, &known))
            .collect()
    }

    pub(super) async fn add_image_key(
        &self,
        key: &AddKeyArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<ImageKeyView, PlatformError> {
        let pem = text(input, KEY_MAX, "a public key").await?;
        let name: KeyName = key.name.parse().map_err(|error| invalid(&error))?;
        let validity = Validity {
            from: key.from.map(|day| day.0),
            until: key.until.map(|day| day.0),
        };
        let added = self.image_trust().add_key(name.clone(), &pem, validity);
        added
            .map(|known| view(&name, &known))
            .map_err(|error| refused(&error))
    }

    pub(super) fn drop_image_key(&self, name: &str) -> Result<(), PlatformError> {
        let removed = self.image_trust().remove_key(name);
        removed.map_err(|error| refused(&error))
    }

    pub(super) fn image_policy_view(&self) -> Result<Value, PlatformError> {
        let (policy, _) = self.image_trust().policy();
        serde_json::to_value(policy).map_err(|error| {
            PlatformError::new(
                ErrorKind::Internal,
                format!("the policy has no JSON: {error}"),
            )
        })
    }

    pub(super) async fn replace_image_policy(
        &self,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<Value, PlatformError> {
        let json = text(input, POLICY_MAX, "a policy").await?;
        let policy = Policy::from_json(json.as_bytes()).map_err(|error| invalid(&error))?;
        let set = self.image_trust().set_policy(policy);
        set.map_err(|error| refused(&error))?;
        self.image_policy_view()
    }
}

impl Door {
    pub(super) async fn certificate_of(
        &self,
        key: &IssueArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<String, PlatformError> {
        let public_key = text(input, KEY_MAX, "a public key").await?;
        let (trust, name, life) = (self.trust.clone(), key.name.clone(), key.life.0);
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "no certificate was given to an operator");
            PlatformError::new(ErrorKind::Internal, "the certificate could not be made")
                .with_hint("the box's log says why")
        };
        let work = tokio::task::spawn_blocking(move || {
            let authority = trust.key(Purpose::Ca).map_err(|error| internal(&error))?;
            let mut nonce = [0; 32];
            let random = SystemRandom::new();
            random.fill(&mut nonce).map_err(|error| internal(&error))?;
            let times = (SystemTime::now(), life);
            let made = certify_operator(&*authority, &public_key, name.as_deref(), times, nonce);
            made.map_err(|error| match error {
                CertificateError::Make(_) => internal(&error),
                _ => PlatformError::new(ErrorKind::Invalid, error.to_string()),
            })
        });
        work.await.map_err(|error| internal(&error))?
    }
}

fn view(name: &KeyName, known: &KnownKey) -> ImageKeyView {
    ImageKeyView {
        name: name.to_string(),
        fingerprint: known.key.fingerprint(),
        from: known.validity.from,
        until: known.validity.until,
    }
}

async fn text(
    input: impl AsyncRead + Send + Unpin,
    most: u64,
    what: &str,
) -> Result<String, PlatformError> {
    let mut text = String::new();
    let read = input.take(most + 1).read_to_string(&mut text).await;
    let invalid = |message: String| PlatformError::new(ErrorKind::Invalid, message);
    read.map_err(|error| invalid(format!("standard input is not {what}: {error}")))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > most) {
        return Err(invalid(format!("{what} has at most {most} bytes")));
    }
    Ok(text)
}

fn invalid(error: &RecordError) -> PlatformError {
    kind(error, error.to_string())
}

fn kind(error: &RecordError, message: String) -> PlatformError {
    let kind = match error {
        RecordError::Unknown(_) => ErrorKind::NotFound,
        RecordError::Taken(_)
        | RecordError::Known(_)
        | RecordError::Full(_)
        | RecordError::Needed { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Invalid,
    };
    PlatformError::new(kind, message)
}

fn refused(error: &ImageError) -> PlatformError {
    match error {
        ImageError::Policy { reason, .. } => kind(reason, reason.to_string()),
        other => error::image(other),
    }
}
