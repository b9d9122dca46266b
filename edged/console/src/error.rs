//! Why the platform did not do what a verb asked.

use serde::{Deserialize, Serialize};

/// The class of a failure, for exit codes and for scripts that read JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// It exists already, is in use, or is in a state that does not allow this.
    Conflict,
    /// The request or what it brought (an archive, an image) is not acceptable.
    Invalid,
    /// A part of the box or a registry does not answer; trying later may help.
    Unavailable,
    /// The program to execute is not in the container.
    NoSuchCommand,
    /// The program to execute is there and cannot be executed.
    NotExecutable,
    /// A fault of the platform itself.
    Internal,
}

/// A failure as the operator reads it: one sentence, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct PlatformError {
    /// Its class.
    pub kind: ErrorKind,
    /// One sentence in lower case, without a full stop, that names the thing.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl PlatformError {
    /// A failure without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same failure with what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}
