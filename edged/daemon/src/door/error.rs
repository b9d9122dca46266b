//! Failures as the operator reads them.

use edged_console::{ErrorKind, PlatformError};
use edged_image::ImageError;
use edged_mec::Problem;
use edged_model::AppName;
use serde::Serialize;
use serde_json::Value;

use crate::link::Failure;
use crate::reconcile::Denied;

impl From<Denied> for PlatformError {
    fn from(denied: Denied) -> Self {
        let message = denied.to_string();
        match denied {
            Denied::Unknown(_) | Denied::UnknownId(_) => Self::new(ErrorKind::NotFound, message)
                .with_hint("`ps` lists the applications of this box"),
            Denied::NameTaken(name) => Self::new(ErrorKind::Conflict, message)
                .with_hint(format!("choose another with --name, or `rm {name}` first")),
            Denied::Invalid(_) | Denied::Kernel(_) => Self::new(ErrorKind::Invalid, message),
            Denied::Away(_) => Self::new(ErrorKind::Unavailable, message),
            Denied::NotRunning(_) => Self::new(ErrorKind::Conflict, message),
            Denied::Full(_) => {
                Self::new(ErrorKind::Conflict, message).with_hint("remove an application with `rm`")
            }
            Denied::Runs(name) => Self::new(ErrorKind::Conflict, message).with_hint(format!(
                "`stop {name}` first, or remove it running with `rm -f {name}`"
            )),
            Denied::Going(_) => {
                Self::new(ErrorKind::Conflict, message).with_hint("`ps` shows when it is gone")
            }
            Denied::Store(_) => Self::new(ErrorKind::Internal, message),
        }
    }
}

impl From<Failure> for PlatformError {
    fn from(failure: Failure) -> Self {
        let kind = match &failure {
            Failure::Away(_) | Failure::Connection(_) => ErrorKind::Unavailable,
            Failure::Refused(_) => ErrorKind::Conflict,
            Failure::Unexpected(_) | Failure::Own(_) => ErrorKind::Internal,
        };
        Self::new(kind, failure.to_string())
    }
}

/// A failure of a registry, an archive or the content store.
pub fn image(error: &ImageError) -> PlatformError {
    PlatformError::new(ErrorKind::Invalid, error.to_string())
}

/// What an interface answers, said to the operator.
pub fn problem(problem: &Problem) -> PlatformError {
    let kind = match problem.status().as_u16() {
        404 => ErrorKind::NotFound,
        403 | 409 => ErrorKind::Conflict,
        429 | 503 => ErrorKind::Unavailable,
        500.. => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    };
    PlatformError::new(kind, problem.detail())
}

/// An object of an interface as JSON.
pub fn json(shown: &impl Serialize) -> Result<Value, PlatformError> {
    serde_json::to_value(shown)
        .map_err(|error| PlatformError::new(ErrorKind::Internal, error.to_string()))
}

/// An application that was accepted and does not come up.
pub fn not_ready(name: &AppName, reason: &str) -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        format!("{name} is not ready: {reason}"),
    )
    .with_hint(format!(
        "it is tried again; see `logs {name}` and `inspect {name}`, or `rm -f {name}`"
    ))
}

/// An application that somebody else stopped or removed while it was waited for.
pub fn taken_back(name: &AppName) -> PlatformError {
    PlatformError::new(
        ErrorKind::Conflict,
        format!("{name} was stopped or removed by somebody else before it was ready"),
    )
}

/// An application of which something could not be taken away yet.
pub fn not_removed(name: &AppName, reason: &str) -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        format!("{name} is not gone yet: {reason}"),
    )
    .with_hint("it is tried again by itself; `ps` shows when it is gone")
}
