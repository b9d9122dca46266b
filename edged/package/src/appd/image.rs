//! Where an application's image is.

use edged_model::{Digest, ImageReference};

/// Where an application's image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A file of the package: an archive of `docker save` or an OCI layout as tar.
    Inside(String),
    /// In a registry, pinned.
    Registry(ImageReference, Digest),
}
