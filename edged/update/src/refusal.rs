//! Why a bundle is not taken: one variant a reason, one sentence each.

use std::io;

use crate::{Hash, Part, Release};

/// Why a bundle is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It begins otherwise.
    #[error("this is no update bundle; make one with `cargo board update -o FILE`")]
    NotABundle,
    /// Its manifest is longer than any.
    #[error(
        "the bundle's manifest has {0} bytes, and none has more than {max}; the file is damaged",
        max = crate::MANIFEST_MAX
    )]
    ManifestLength(usize),
    /// Its signature has another length than one of RSA-3072.
    #[error(
        "the bundle's signature has {0} bytes, and one by RSA-3072 has 384; the file is damaged"
    )]
    SignatureLength(usize),
    /// It ends early.
    #[error("the bundle is cut off; fetch it again")]
    CutOff,
    /// It goes on after its last part.
    #[error("something follows the bundle's last part; fetch it again")]
    Trailing,
    /// The manifest is no JSON of this format.
    #[error("the bundle's manifest cannot be read: {0}")]
    Manifest(String),
    /// A format of another time.
    #[error(
        "the bundle has format {0}, and this box reads format {format}; install a release in between first",
        format = crate::FORMAT
    )]
    Format(u32),
    /// Nobody this box knows.
    #[error(
        "the bundle is signed by the key {signer}, and this box takes updates by {known} and its successors alone"
    )]
    Signer {
        /// The key it names.
        signer: Hash,
        /// The box's.
        known: Hash,
    },
    /// A successor that its predecessor did not sign.
    #[error(
        "the key {key} is no successor of {by}: the statement that says so is not signed by {by}"
    )]
    Succession {
        /// The successor.
        key: Hash,
        /// Who is said to have signed.
        by: Hash,
    },
    /// The signature over the manifest.
    #[error(
        "the bundle's signature is wrong: the key {0} did not sign this manifest; fetch it again"
    )]
    Signature(Hash),
    /// For other hardware.
    #[error("the bundle is for the board {bundle}, and this box is {here}")]
    Board {
        /// The bundle's.
        bundle: String,
        /// The box's.
        here: String,
    },
    /// A downgrade, or the same again.
    #[error(
        "the bundle is release {bundle}, and this box has confirmed {here}; only a newer one is taken"
    )]
    NotNewer {
        /// The bundle's.
        bundle: Release,
        /// The box's.
        here: Release,
    },
    /// More than the counter follows.
    #[error(
        "the bundle is release {bundle}, more than {leap} above {here}, which this box has confirmed; releases count, they are \
         no dates",
        leap = crate::LEAP
    )]
    TooFar {
        /// The bundle's.
        bundle: Release,
        /// The box's.
        here: Release,
    },
    /// What it writes, the running release could not read after a rollback.
    #[error(
        "after the bundle's release has run, this one cannot read the database again (schema {reads}, and it reads {here}); \
         with --no-way-back it is installed nevertheless"
    )]
    NoWayBack {
        /// The least that has to be read.
        reads: u32,
        /// What is read here.
        here: u32,
    },
    /// It cannot read what is here.
    #[error(
        "the bundle's release reads the database up to schema {bundle}, and this box's needs {here}; install a newer one"
    )]
    OldSchema {
        /// The bundle's.
        bundle: u32,
        /// What the database asks for.
        here: u32,
    },
    /// The list of parts is another one.
    #[error(
        "the bundle has other parts than `uki`, `golden.json` and `sbom.spdx.json`, in this order"
    )]
    Parts,
    /// A part too large for its place.
    #[error("the bundle's {part} has {size} bytes, and there is room for {room}")]
    Size {
        /// Which.
        part: Part,
        /// Its bytes.
        size: u64,
        /// Room for it.
        room: u64,
    },
    /// A part is not what the manifest says.
    #[error("the bundle's {0} is damaged: it is not what the manifest says; fetch it again")]
    Part(Part),
    /// The image in it is none.
    #[error("the image in the bundle is no unified kernel image: {0}")]
    Image(&'static str),
    /// The data would not open.
    #[error(
        "the image in the bundle opens data by another key (pcr-policy) than this box's: its data would stay shut"
    )]
    PolicyKey,
    /// Manifest and image are of different builds.
    #[error("the image in the bundle says {image:?} of itself, and its manifest {manifest:?}")]
    OtherImage {
        /// The image's line.
        image: String,
        /// What the manifest makes of it.
        manifest: String,
    },
    /// Reading failed.
    #[error("cannot read the bundle: {0}")]
    Io(#[from] io::Error),
}
