//! Why something was not done, and how that reads to whoever asked.

use std::io;
use std::path::{Path, PathBuf};

use edged_protocol::Refusal;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused an operation on a path.
    #[error("cannot {operation} {path}: {source}")]
    Path {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused an operation.
    #[error("cannot {operation}: {source}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// libcontainer or libcgroups failed.
    #[error("cannot {operation}: {message}")]
    Runtime {
        /// What was tried.
        operation: &'static str,
        /// What the library said.
        message: String,
    },
    /// The request cannot be carried out as it is; trying again changes nothing.
    #[error("{0}")]
    Request(String),
    /// The request cannot be carried out now.
    #[error("{0}")]
    Busy(String),
}

impl Error {
    /// A helper's work panicked.
    pub fn panicked() -> Self {
        Self::Busy("the worker's helper process panicked; see the worker's log".to_owned())
    }

    /// For `map_err` on an operation with a path.
    pub fn path<E: Into<io::Error>>(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Path {
            operation,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// For `map_err` on an operation without one.
    pub fn kernel<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Kernel {
            operation,
            source: source.into(),
        }
    }

    /// For `map_err` on a call into libcontainer or libcgroups.
    pub fn runtime<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Runtime {
            operation,
            message: source.to_string(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            sentence: error.to_string(),
            transient: !matches!(error, Error::Request(_)),
        }
    }
}
