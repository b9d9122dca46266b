//! Why a package is refused: always the file, and the field where there is one.

use std::io;

use crate::hash::Algorithm;

/// What is named when no file inside the package is meant.
pub(crate) const WHOLE: &str = "package";

/// Why a package is refused.
///
/// `file()` and `field()` say where; the message says both again and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The disk did not answer; the package may be good.
    #[error("{file} cannot be read ({source}); check the disk and send the package again")]
    Read {
        /// What was being read.
        file: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The ZIP container is damaged, hostile or of a kind not taken.
    #[error("{file}: {reason}")]
    Archive {
        /// The entry, or `package`.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A bound of [`Limits`](crate::Limits) is passed.
    #[error("{file} has {found} {what}, more than the {limit} taken here; make it smaller")]
    TooLarge {
        /// The entry, or `package`.
        file: String,
        /// Which bound.
        what: &'static str,
        /// What was found or declared.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// Something that has to be there is not.
    #[error("{file} is not in the package, but {needed_by} needs it; add it and sign again")]
    Missing {
        /// The absent file.
        file: String,
        /// Who names it.
        needed_by: String,
    },
    /// A file that the manifest says nothing about.
    #[error("{file} is not listed in {manifest}; list it with its digest or leave it out")]
    Unlisted {
        /// The file.
        file: String,
        /// The manifest.
        manifest: String,
    },
    /// The content is not what the manifest or the descriptor promised.
    #[error(
        "{file} has {algorithm} {found}, but {promised_by} says {expected}; build the package again"
    )]
    Digest {
        /// The file.
        file: String,
        /// Who made the promise.
        promised_by: String,
        /// By which function.
        algorithm: Algorithm,
        /// Promised, hexadecimal.
        expected: String,
        /// Found, hexadecimal.
        found: String,
    },
    /// The signature does not make the package trustworthy.
    #[error("{file}: {reason}")]
    Signature {
        /// Where the signature is, or ought to be.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Whoever makes a package has no key to sign it with.
    #[error("package cannot be signed: {0}")]
    Identity(#[from] crate::identity::IdentityError),
    /// A field of TOSCA.meta, the manifest, the descriptor or the maker's description.
    #[error("{file} at {field}: {reason}")]
    Field {
        /// The file.
        file: String,
        /// A JSON Pointer (RFC 6901) into YAML, or the name of a line.
        field: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl PackageError {
    /// The file that is to blame: an entry's name, or `package`.
    pub fn file(&self) -> &str {
        match self {
            Self::Read { file, .. }
            | Self::Archive { file, .. }
            | Self::TooLarge { file, .. }
            | Self::Missing { file, .. }
            | Self::Unlisted { file, .. }
            | Self::Digest { file, .. }
            | Self::Signature { file, .. }
            | Self::Field { file, .. } => file,
            Self::Identity(_) => WHOLE,
        }
    }

    /// The field in that file: a JSON Pointer (RFC 6901) into YAML, or the name of a line.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. } => Some(field),
            _ => None,
        }
    }

    /// Whether the box failed and not the package: the answer is 5xx, not 4xx.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    pub(crate) fn read(file: &str, source: io::Error) -> Self {
        // A verifying reader speaks `io::Error` outward and carries the real reason within.
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::Read {
                file: file.to_owned(),
                source,
            },
        }
    }

    pub(crate) fn archive(file: &str, reason: impl Into<String>) -> Self {
        Self::Archive {
            file: file.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn signature(file: &str, reason: impl Into<String>) -> Self {
        Self::Signature {
            file: file.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn field_of(
        file: &str,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Field {
            file: file.to_owned(),
            field: field.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn missing(file: &str, needed_by: &str) -> Self {
        Self::Missing {
            file: file.to_owned(),
            needed_by: needed_by.to_owned(),
        }
    }

    pub(crate) fn bound(
        file: &str,
        what: &'static str,
        found: u64,
        limit: u64,
    ) -> Result<(), Self> {
        if found <= limit {
            return Ok(());
        }
        Err(Self::TooLarge {
            file: file.to_owned(),
            what,
            found,
            limit,
        })
    }
}

impl From<PackageError> for io::Error {
    fn from(error: PackageError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
