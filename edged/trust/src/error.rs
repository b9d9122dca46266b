//! Why the TPM did not do it.

use std::path::PathBuf;

use tss_esapi::constants::response_code::Tss2ResponseCodeKind;

/// Why the TPM did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrustError {
    /// There is none at that place, or it does not answer.
    #[error("no TPM answers at {place}: {reason}; see [trust] tpm of the configuration")]
    Absent {
        /// Where it was looked for.
        place: String,
        /// What the library said.
        reason: String,
    },
    /// A command.
    #[error("the TPM does not {what}: {reason}")]
    Command {
        /// What was asked.
        what: &'static str,
        /// What it said.
        reason: String,
    },
    /// An object of another TPM, or a changed one.
    #[error(
        "{path} was made by another TPM: this is a copy of a disk, or the TPM was replaced; its keys are lost, and without the file new ones are made"
    )]
    Foreign {
        /// Its file.
        path: PathBuf,
    },
    /// The policy is not satisfied.
    #[error("the TPM refuses its keys: {0}")]
    Policy(String),
    /// The policy key is not the one that the objects were made for.
    #[error(
        "{path} was made under another policy key than the image's; the box was updated past a change of keys"
    )]
    OtherPolicy {
        /// Its file.
        path: PathBuf,
    },
    /// A file.
    #[error("cannot use {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file that is not what was written.
    #[error("{path} is not what edged keeps there; without it a new one is made")]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// The thread that asks the TPM has too much to do.
    #[error("the TPM has {0} questions before it; ask again in a moment")]
    Busy(usize),
    /// The thread has ended.
    #[error("edged does not ask its TPM any more: it is ending")]
    Ended,
}

/// Says what was asked when the library only says what went wrong.
pub(crate) trait Asked<T> {
    fn asked(self, what: &'static str) -> Result<T, TrustError>;
}

impl<T> Asked<T> for tss_esapi::Result<T> {
    fn asked(self, what: &'static str) -> Result<T, TrustError> {
        self.map_err(|error| TrustError::Command {
            what,
            reason: error.to_string(),
        })
    }
}

impl<T> Asked<T> for Result<T, edged_evidence::wire::WireError> {
    fn asked(self, what: &'static str) -> Result<T, TrustError> {
        self.map_err(|error| TrustError::Command {
            what,
            reason: error.to_string(),
        })
    }
}

/// Whether the TPM says that an object is not its own.
pub(crate) fn is_foreign(error: tss_esapi::Error) -> bool {
    matches!(
        kind(error),
        Some(Tss2ResponseCodeKind::Integrity | Tss2ResponseCodeKind::Size)
    )
}

/// Whether the TPM says that a policy is not satisfied.
pub(crate) fn is_policy(error: tss_esapi::Error) -> bool {
    matches!(
        kind(error),
        Some(Tss2ResponseCodeKind::PolicyFail | Tss2ResponseCodeKind::PcrChanged)
    )
}

fn kind(error: tss_esapi::Error) -> Option<Tss2ResponseCodeKind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}
