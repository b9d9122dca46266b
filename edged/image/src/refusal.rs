//! Why a document or a blob is not taken. One variant a reason, so that a person reads what is wrong.

use edged_model::Digest;

/// What is wrong with an image. The message is the second half of a sentence that begins with the image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A manifest, index or configuration above [`crate::DOCUMENT_MAX`].
    #[error("its {document} is larger than {limit} bytes")]
    DocumentTooLarge {
        /// Which document.
        document: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// Not the JSON that the image specification asks for.
    #[error("its {document} is not valid: {reason}")]
    Syntax {
        /// Which document.
        document: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// Schema 1 and what may come after 2.
    #[error(
        "its manifest has schema version {0}; only version 2 is known, so push it again with a current tool"
    )]
    SchemaVersion(u64),
    /// A document that reads as two kinds (CVE-2021-41190).
    #[error("its manifest has both layers and manifests, so two readers could see two images")]
    Ambiguous,
    /// A document of neither kind.
    #[error("its manifest has neither layers nor manifests")]
    NeitherKind,
    /// What the transport says differs from what the document says.
    #[error("it is announced as {announced:?} but its content is {content}")]
    KindMismatch {
        /// Media type by header, descriptor or member `mediaType`.
        announced: String,
        /// What the members say.
        content: &'static str,
    },
    /// An artifact that is no container image.
    #[error("its configuration has the media type {0:?}, which is no container image")]
    ConfigMediaType(String),
    /// A layer that nobody can unpack.
    #[error(
        "layer {number} has the unknown media type {media_type:?}; rebuild it as tar, gzip or zstd"
    )]
    LayerMediaType {
        /// From 1, lowest first.
        number: usize,
        /// As written.
        media_type: String,
    },
    /// A layer that the registry does not hold.
    #[error("layer {0} is a foreign layer, which only its vendor serves")]
    ForeignLayer(usize),
    /// An image of nothing.
    #[error("it has no layers")]
    NoLayers,
    /// More than overlayfs should stack.
    #[error("it has {count} layers and at most {limit} are taken; squash it")]
    TooManyLayers {
        /// How many.
        count: usize,
        /// How many are taken.
        limit: usize,
    },
    /// Manifest and configuration disagree.
    #[error("its manifest lists {layers} layers and its configuration {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// SHA-512 and other names.
    #[error("the digest {0:?} is not SHA-256, the only kind that is taken")]
    DigestAlgorithm(String),
    /// A descriptor that names more than a box has.
    #[error("blob {digest} is said to have {size} bytes and at most {limit} are taken")]
    BlobTooLarge {
        /// Which.
        digest: Digest,
        /// As described.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// All layers together.
    #[error("its layers have {size} bytes together and at most {limit} are taken")]
    ImageTooLarge {
        /// As described.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// Other content than asked for.
    #[error("{expected} was asked for and the content has digest {found}")]
    WrongDigest {
        /// By name.
        expected: Digest,
        /// By hash.
        found: Digest,
    },
    /// A document or blob longer or shorter than its descriptor.
    #[error("{digest} is described with {described} bytes and has {found}")]
    WrongSize {
        /// Which.
        digest: Digest,
        /// By descriptor.
        described: u64,
        /// By count; of an endless answer what was read when it was given up.
        found: u64,
    },
    /// The registry's own header contradicts its body.
    #[error("the registry names the manifest {announced:?} and its content is {found}")]
    HeaderDigest {
        /// `Docker-Content-Digest`.
        announced: String,
        /// By hash.
        found: Digest,
    },
    /// An index without this machine.
    #[error("it is not built for {wanted}, only for {offered}")]
    NoPlatform {
        /// This machine.
        wanted: String,
        /// What the index lists.
        offered: String,
    },
    /// An index that promises this machine and a configuration that does not.
    #[error("its configuration says {found} and this machine is {wanted}")]
    WrongPlatform {
        /// This machine.
        wanted: String,
        /// By configuration.
        found: String,
    },
    /// Indexes of indexes of indexes.
    #[error("its index is nested more than {0} deep")]
    IndexTooDeep(usize),
    /// An index as an attack on memory and time.
    #[error("its index lists {count} manifests and at most {limit} are taken")]
    IndexTooLong {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// A root file system that is not a stack of layers.
    #[error("its root file system has the type {0:?} instead of \"layers\"")]
    RootFsType(String),
    /// A member of the configuration's `config` that no process can be started with.
    #[error("its configuration has {member} {value:?}, which {reason}")]
    Process {
        /// `Env`, `WorkingDir`, …
        member: &'static str,
        /// As written.
        value: String,
        /// The end of the sentence.
        reason: &'static str,
    },
    /// An archive entry that points elsewhere.
    #[error("its archive has an entry {0:?}, which leaves the archive")]
    EntryPath(String),
    /// An archive as an attack on time.
    #[error("its archive has more than {0} entries")]
    TooManyEntries(usize),
    /// An archive as an attack on memory.
    #[error("its archive has more than {0} images and names of images; save fewer at once")]
    TooManyImages(usize),
    /// The same by signatures.
    #[error("its archive has more than {0} signatures; save fewer images at once")]
    TooManySignatures(usize),
    /// A compression bomb, or simply too much.
    #[error("its archive holds more than {0} bytes")]
    ArchiveTooLarge(u64),
    /// Cut short or garbage.
    #[error("its archive cannot be read: {0}")]
    Archive(String),
    /// A named file that is not there.
    #[error("its archive lacks {0}")]
    ArchiveLacks(String),
    /// Neither kind of archive.
    #[error("its archive has neither index.json (an OCI layout) nor manifest.json (docker save)")]
    NoArchiveIndex,
    /// Images without a name.
    #[error("its archive does not say how image {0} is called; give a reference when loading it")]
    Nameless(Digest),
    /// None or several images where one is wanted.
    #[error("its archive holds {0} images and exactly one is taken; save that one alone")]
    Several(usize),
    /// A name that only what is inside a package has.
    #[error(
        "its name is that of an image inside a package; install the package, or give it another name"
    )]
    OfPackages,
    /// The policy does not take it.
    #[error(transparent)]
    Trust(#[from] edged_signature::Refusal),
    /// What was allowed once is not what is signed now.
    #[error(
        "it came without a signature that was kept, and the policy asks for one now; pull or load it again, signed"
    )]
    NotKept,
    /// The key was removed, or another has its name.
    #[error(
        "it is signed by {0}, a key that is trusted no more; `trust keys add` takes that key again, or pull an image that another signed"
    )]
    KeyGone(String),
    /// A name that is no reference.
    #[error("its archive names an image {0:?}, which is no image reference")]
    Name(String),
}
