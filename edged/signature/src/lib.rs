//! Signatures of container images (cosign, keyed), verified offline, and the policy that says who needs one.
//!
//! What is signed is a small JSON document ("simple signing", sigstore's `SIGNATURE_SPEC.md`) that names the digest of
//! an image. It lies beside the image under the tag [`tag`], as a layer whose annotation is the signature. Nothing of
//! it asks a third party: a key of the operator's list made it, or it counts for nothing.
//!
//! Pure: no file, no network, no clock of its own. `edged_image` fetches what is judged here.
//!
//! What it refuses to do: take a signature whose payload has a member twice (two readers could see two images), a
//! key outside of its time, a release below one that was taken before, and cosign's bundle format, which needs Rekor.
//!
//! # Invariants
//! - A [`Record`] that was read or changed is consistent: each key that a rule names is there.
//! - What [`Requirement`] accepts was signed over exactly one of the digests that the caller will fetch by.

mod key;
mod make;
mod manifest;
mod payload;
mod policy;
mod record;
mod refusal;
mod strict;
mod verify;

pub use key::{KeyError, PublicKey};
pub use make::{MakeError, Signer, digest_of};
pub use manifest::{LAYER, SIGNATURES_MAX, Signed, layers};
pub use payload::{PAYLOAD_MAX, Payload};
pub use policy::{Policy, Requirement, Rule, Signatures};
pub use record::{KEYS_MAX, KeyName, KnownKey, Record, RecordError, Validity};
pub use refusal::Refusal;
pub use verify::{Accepted, Release, Statement, Subject};

use edged_model::Digest;

/// The tag under which the signatures of a digest lie, in the image's own repository.
pub fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}
