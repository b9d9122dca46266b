//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use edged_model::{Digest, ImageReference};

use crate::Refusal;

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image is not what it says, or not for here.
    #[error("image {image} is refused: {reason}")]
    Refused {
        /// Reference or archive.
        image: String,
        /// Why.
        reason: Refusal,
    },
    /// No image by that reference in the store.
    #[error("image {0} is not in the store; pull or load it first")]
    NotStored(ImageReference),
    /// A blob is gone that a manifest needs.
    #[error("blob {digest} is missing from the store {}; pull or load its image again", folder.display())]
    BlobMissing {
        /// Which.
        digest: Digest,
        /// Of the store.
        folder: PathBuf,
    },
    /// Another process has the store open.
    #[error("store {} is in use by another process; stop that edged first", .0.display())]
    StoreInUse(PathBuf),
    /// Somebody else wrote the index.
    #[error("index {} cannot be read ({reason}); remove it and pull the images again", path.display())]
    IndexCorrupt {
        /// Of the index.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left for {}; remove an image and try again", .0.display())]
    Full(PathBuf),
    /// Any other failure of a file.
    #[error("cannot {operation} {}: {source}; check the folder's owner and the disk", path.display())]
    File {
        /// A verb.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No answer.
    #[error("registry {registry} cannot be reached ({reason}); check its name and the network")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// Innermost reason.
        reason: String,
    },
    /// A certificate that nobody vouches for.
    #[error(
        "registry {registry} does not prove who it is ({reason}); name its authority's certificate in registries.ca"
    )]
    Untrusted {
        /// Host and port.
        registry: String,
        /// The verifier's reason.
        reason: String,
    },
    /// The other side does not speak TLS.
    #[error("registry {0} answers in plain HTTP; list it in registries.insecure if that is meant")]
    PlainHttp(String),
    /// The registry sent us on to plain HTTP.
    #[error(
        "registry {registry} sends us to {target} over plain HTTP; list it in registries.insecure if that is meant"
    )]
    PlainRedirect {
        /// Host and port.
        registry: String,
        /// Where to.
        target: String,
    },
    /// 401 and 403 after all that we could offer.
    #[error(
        "registry {registry} does not let us read {repository}; check registries.credentials for {registry}"
    )]
    Unauthorised {
        /// Host and port.
        registry: String,
        /// Path.
        repository: String,
    },
    /// 404 for the manifest.
    #[error("registry has no image {0}; check its repository and tag")]
    NotFound(ImageReference),
    /// 404 for a blob of a manifest that it has.
    #[error("registry {registry} has a manifest but not its blob {digest}; push the image again")]
    BlobNotFound {
        /// Host and port.
        registry: String,
        /// Which.
        digest: Digest,
    },
    /// Another status than those above, after all attempts.
    #[error("registry {registry} answers {status}{detail}; try again later")]
    Status {
        /// Host and port.
        registry: String,
        /// HTTP.
        status: u16,
        /// The registry's own words, bounded, after a colon; or nothing.
        detail: String,
    },
    /// A broken transfer, after all attempts.
    #[error(
        "download of {what} from {registry} broke off at byte {at} ({reason}); pull again to go on from there"
    )]
    BrokenOff {
        /// Host and port.
        registry: String,
        /// A digest or a document.
        what: String,
        /// Bytes that are here.
        at: u64,
        /// Innermost reason.
        reason: String,
    },
    /// An answer outside of the distribution specification.
    #[error("registry {registry} breaks the protocol: {reason}")]
    Protocol {
        /// Host and port.
        registry: String,
        /// What.
        reason: String,
    },
    /// A certificate file of the configuration.
    #[error("registries.ca {} cannot be used: {reason}; give a PEM file with certificates", path.display())]
    Authority {
        /// Of the file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What the box keeps of image trust.
    #[error("image policy {}: {reason}", path.display())]
    Policy {
        /// Of the file.
        path: PathBuf,
        /// Why.
        reason: edged_signature::RecordError,
    },
    /// The TLS library would not start.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Reading the archive from its source failed.
    #[error("the archive broke off while it was read: {0}; send it again")]
    Input(io::Error),
    /// A task of the blocking pool was cancelled: the process is going down.
    #[error("work on the image store was cancelled by shutdown")]
    Cancelled,
}

impl ImageError {
    pub(crate) fn refused(image: &(impl ToString + ?Sized), reason: Refusal) -> Self {
        Self::Refused {
            image: image.to_string(),
            reason,
        }
    }

    /// For `map_err`: a failure of one file.
    pub(crate) fn file<'a>(
        operation: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(path.to_owned())
            }
            _ => Self::File {
                operation,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// The reason, where the image itself is at fault.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { reason, .. } => Some(reason),
            _ => None,
        }
    }
}
