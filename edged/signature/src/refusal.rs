//! Why an image is not taken. One variant a reason, so that a person reads what is wrong.

use edged_model::Digest;

/// What is wrong. The message is the second half of a sentence that begins with the image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule takes it.
    #[error(
        "the policy takes nothing from {0}; `trust policy show` has the rules, and `trust policy set` changes them"
    )]
    Denied(String),
    /// No key at all.
    #[error("a signature is needed and no key is trusted yet; `trust keys add NAME < cosign.pub`")]
    NoKeys,
    /// No `.sig` beside it.
    #[error("nobody signed it; sign it with `cosign sign --key` and push the signature beside it")]
    Unsigned,
    /// Cosign 3's own format.
    #[error("its signature is a bundle, which is not taken; sign with `--new-bundle-format=false`")]
    Bundle,
    /// Something else under the signature's tag.
    #[error("what lies under its signature's tag holds no signature; sign it again")]
    NoSignatures,
    /// The manifest of signatures cannot be read.
    #[error("the list of its signatures cannot be read: {0}; sign it again")]
    Manifest(String),
    /// An attack on time.
    #[error("it has {0} signatures and at most 16 are looked at; remove those of others")]
    TooMany(usize),
    /// An attack on memory.
    #[error("a payload of its signatures has {0} bytes and at most 16384 are read; sign it again")]
    PayloadSize(u64),
    /// The annotation was taken off.
    #[error("its signature was taken off: the payload is there without one; sign it again")]
    Stripped,
    /// Neither base64 nor a signature's form.
    #[error("its signature is damaged; sign it again")]
    Damaged,
    /// Another key, or another payload: mathematics cannot tell which.
    #[error(
        "none of the keys {0} made its signature, or the payload was changed after; sign it with one of them"
    )]
    WrongKey(String),
    /// A key that the box knows and that this rule does not name.
    #[error(
        "it is signed by {key}, whose images the policy does not take from here; only those of {wanted}"
    )]
    OtherKey {
        /// Whose signature is right.
        key: String,
        /// Who was wanted.
        wanted: String,
    },
    /// A key of later.
    #[error("it is signed by {0}, whose key is not valid yet; set the clock, or wait")]
    NotYet(String),
    /// A key of before.
    #[error("it is signed by {0}, whose key has expired; sign it with a valid one")]
    Expired(String),
    /// The payload is not what the standard asks for.
    #[error("the payload of its signature is not valid: {0}; sign it again")]
    Payload(String),
    /// Something else that was signed with the same key.
    #[error("its signature is of a {0:?} and not of an image; sign the image itself")]
    PayloadType(String),
    /// A signature of another image.
    #[error("its signature is of the image {0}; sign this one")]
    OtherImage(Digest),
    /// A signature for another repository.
    #[error(
        "its signature is for the repository {0:?}; sign it for this one, or take `identity` off the rule"
    )]
    OtherRepository(String),
    /// No number where the policy wants one.
    #[error("its signature has no number of a release named {0:?}; sign it with `-a {0}=NUMBER`")]
    NoRelease(String),
    /// An older release, well signed.
    #[error("it is release {found} and {seen} was taken before; take a newer one")]
    OldRelease {
        /// Its own.
        found: u64,
        /// The highest so far.
        seen: u64,
    },
}
