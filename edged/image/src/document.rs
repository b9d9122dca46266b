//! Manifests and indexes, read from bytes that nobody vouches for (image specification, "Image Manifest" and
//! "Image Index"; docker's schema 2 has the same members under other media types).

use edged_model::Digest;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::Refusal;

/// The largest manifest, index or configuration that is read: what registries accept at most.
pub const DOCUMENT_MAX: usize = 4 * 1024 * 1024;
/// The most entries of an index: the largest official images have about 40, attestations included.
pub(crate) const INDEX_ENTRIES_MAX: usize = 1024;
/// How deep indexes may nest. Builders write an index in an index; nobody needs a third.
pub(crate) const INDEX_DEPTH_MAX: usize = 2;

/// What stands behind a reference.
pub(crate) enum Document {
    Manifest(Box<ImageManifest>),
    Index(Box<ImageIndex>),
}

/// Where a blob is and how long it is, by a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blob {
    pub digest: Digest,
    pub size: u64,
}

/// The members that tell one kind of document from another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index; `announced` is the media type by which it was served or described.
    pub(crate) fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self, Refusal> {
        let outline: Outline = json("manifest", bytes)?;
        if outline.schema_version != 2 {
            return Err(Refusal::SchemaVersion(outline.schema_version));
        }
        let is_manifest = outline.layers.is_some() || outline.config.is_some();
        let document = match (is_manifest, outline.manifests.is_some()) {
            (true, true) => return Err(Refusal::Ambiguous),
            (false, false) => return Err(Refusal::NeitherKind),
            (true, false) => Self::Manifest(Box::new(json("manifest", bytes)?)),
            (false, true) => Self::Index(Box::new(json("index", bytes)?)),
        };
        if let Self::Index(index) = &document
            && index.manifests().len() > INDEX_ENTRIES_MAX
        {
            let count = index.manifests().len();
            return Err(Refusal::IndexTooLong {
                count,
                limit: INDEX_ENTRIES_MAX,
            });
        }
        for announced in [announced, outline.media_type.as_deref()]
            .into_iter()
            .flatten()
        {
            document.agrees_with(announced)?;
        }
        Ok(document)
    }

    fn agrees_with(&self, announced: &str) -> Result<(), Refusal> {
        let (agrees, content) = match self {
            Self::Manifest(_) => (announced.contains(".manifest.v"), "an image manifest"),
            Self::Index(_) => (
                announced.contains(".index.v") || announced.contains(".manifest.list.v"),
                "an index",
            ),
        };
        // Plain JSON is what servers say that know no better: it announces nothing.
        if agrees
            || announced.starts_with("application/json")
            || announced.starts_with("text/plain")
        {
            return Ok(());
        }
        Err(Refusal::KindMismatch {
            announced: announced.to_owned(),
            content,
        })
    }
}

impl Blob {
    /// The blob of a descriptor; refused unless it is named by SHA-256.
    pub(crate) fn described(descriptor: &Descriptor) -> Result<Self, Refusal> {
        let text = descriptor.digest().as_ref();
        let digest = text
            .parse()
            .map_err(|_| Refusal::DigestAlgorithm(text.to_owned()))?;
        Ok(Self {
            digest,
            size: descriptor.size(),
        })
    }

    /// The blob of a descriptor of a document, which is held in memory.
    pub(crate) fn document(
        descriptor: &Descriptor,
        document: &'static str,
    ) -> Result<Self, Refusal> {
        let blob = Self::described(descriptor)?;
        if usize::try_from(blob.size).is_ok_and(|size| size <= DOCUMENT_MAX) {
            Ok(blob)
        } else {
            Err(Refusal::DocumentTooLarge {
                document,
                limit: DOCUMENT_MAX,
            })
        }
    }
}

/// JSON of a known shape, or the sentence that says what is wrong with it.
pub(crate) fn json<T: DeserializeOwned>(
    document: &'static str,
    bytes: &[u8],
) -> Result<T, Refusal> {
    if bytes.len() > DOCUMENT_MAX {
        return Err(Refusal::DocumentTooLarge {
            document,
            limit: DOCUMENT_MAX,
        });
    }
    serde_json::from_slice(bytes).map_err(|error| Refusal::Syntax {
        document,
        reason: error.to_string(),
    })
}
