//! The manifest beside an image that lists its signatures, one a layer.

use std::collections::BTreeMap;

use edged_model::Digest;
use serde::Deserialize;

use crate::{PAYLOAD_MAX, Refusal, strict};

/// The media type of a payload.
pub const LAYER: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that is the signature.
pub(crate) const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What cosign 3 writes unless it is told otherwise.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// Signatures of one image that are looked at: as many as parties that sign it, and each costs a request.
pub const SIGNATURES_MAX: usize = 16;
/// Longest signature in base64: P-384 in DER has 104 bytes.
const SIGNATURE_MAX: usize = 512;

/// Where a payload is, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Of the payload.
    pub digest: Digest,
    /// Of the payload, in bytes, at most [`PAYLOAD_MAX`].
    pub size: u64,
    /// Base64; absent where somebody took it off.
    pub signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    artifact_type: Option<String>,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The signatures that a manifest lists.
///
/// # Errors
/// It is none of signatures, or lists more or longer ones than are looked at.
pub fn layers(manifest: &[u8]) -> Result<Vec<Signed>, Refusal> {
    let manifest: Manifest =
        strict::from_slice(manifest).map_err(|error| Refusal::Manifest(error.to_string()))?;
    let kinds = manifest.layers.iter().map(|layer| &layer.media_type);
    if kinds
        .chain(&manifest.artifact_type)
        .any(|kind| kind.starts_with(BUNDLE))
    {
        return Err(Refusal::Bundle);
    }
    let payloads = || {
        let all = manifest.layers.iter();
        all.filter(|layer| layer.media_type == LAYER)
    };
    match payloads().count() {
        0 => return Err(Refusal::NoSignatures),
        count if count > SIGNATURES_MAX => return Err(Refusal::TooMany(count)),
        _ => {}
    }
    payloads().map(signed).collect()
}

fn signed(layer: &Layer) -> Result<Signed, Refusal> {
    if usize::try_from(layer.size).map_or(true, |size| size > PAYLOAD_MAX) {
        return Err(Refusal::PayloadSize(layer.size));
    }
    let digest = layer.digest.parse();
    let signature = layer.annotations.get(ANNOTATION).cloned();
    if signature
        .as_ref()
        .is_some_and(|text| text.len() > SIGNATURE_MAX)
    {
        return Err(Refusal::Damaged);
    }
    Ok(Signed {
        digest: digest.map_err(|_| Refusal::Manifest("a layer is not named by SHA-256".into()))?,
        size: layer.size,
        signature,
    })
}
