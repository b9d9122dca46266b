//! Telling failures that pass from those that do not, and naming the cause.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::ImageError;

/// The longest piece of a registry's own words that goes into a message.
pub(crate) const WORDS_MAX: usize = 200;

/// Why one request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth another attempt.
    Passing(Passing),
    /// The same next time.
    Final(ImageError),
}

/// A failure that may pass.
#[derive(Debug)]
pub(crate) struct Passing {
    pub text: String,
    /// The status, where there was an answer.
    pub status: Option<u16>,
    /// The answer asked for that wait.
    pub retry_after: Option<Duration>,
    /// There was no connection at all.
    pub unreachable: bool,
}

/// Redirected from HTTPS to HTTP.
#[derive(Debug)]
pub(crate) struct PlainRedirect(pub String);

impl fmt::Display for PlainRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redirected to plain HTTP at {}", self.0)
    }
}

impl Error for PlainRedirect {}

impl Failure {
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Self::Passing(Passing {
            text: text.into(),
            status: None,
            retry_after: None,
            unreachable: false,
        })
    }

    pub(crate) fn into_result<T>(self) -> Result<T, ImageError> {
        Err(match self {
            Self::Final(error) => error,
            Self::Passing(reason) => reason.into_error("", "", 0),
        })
    }

    /// What the HTTP client says.
    pub(crate) fn from_http(registry: &str, error: &reqwest::Error) -> Self {
        let registry = registry.to_owned();
        if let Some(PlainRedirect(target)) = cause(error) {
            return Self::Final(ImageError::PlainRedirect {
                registry,
                target: target.clone(),
            });
        }
        match cause::<rustls::Error>(error) {
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                return Self::Final(ImageError::PlainHttp(registry));
            }
            Some(error @ rustls::Error::InvalidCertificate(_)) => {
                return Self::Final(ImageError::Untrusted {
                    registry,
                    reason: error.to_string(),
                });
            }
            _ => {}
        }
        if error.is_redirect() || error.is_builder() {
            return Self::Final(ImageError::Protocol {
                registry,
                reason: innermost(error),
            });
        }
        let text = if error.is_timeout() {
            "it took too long to answer".to_owned()
        } else {
            innermost(error)
        };
        Self::Passing(Passing {
            text,
            status: None,
            retry_after: None,
            unreachable: error.is_connect(),
        })
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::Final(error)
    }
}

impl Passing {
    /// The error after the last attempt.
    pub(crate) fn into_error(self, registry: &str, what: &str, at: u64) -> ImageError {
        let registry = registry.to_owned();
        match self.status {
            Some(status) => ImageError::Status {
                registry,
                status,
                detail: self.text,
            },
            None if self.unreachable => ImageError::Unreachable {
                registry,
                reason: self.text,
            },
            None => ImageError::BrokenOff {
                registry,
                what: what.to_owned(),
                at,
                reason: self.text,
            },
        }
    }
}

/// The first cause of type `T`; an `io::Error` hides its own inside.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = deeper(error);
    }
    None
}

fn deeper<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(inner) = deeper(error) {
        error = inner;
    }
    error.to_string()
}

/// Words of a stranger, safe to show: bounded and without control characters.
pub(crate) fn words(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect()
}
