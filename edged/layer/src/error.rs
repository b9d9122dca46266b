//! Why a layer was refused, or could not be written: one variant a reason, one sentence a variant.

use std::fmt;
use std::io;

use edged_model::Digest;

use crate::Compression;

/// Characters of an archive's name shown in a message: enough to find it, too few to flood a log.
const SHOWN: usize = 160;

/// A name as the archive gave it, safe to print: escaped where it is not plain text, cut where it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(crate) fn new(name: &[u8]) -> Self {
        let head = name.get(..SHOWN);
        let mut text = head.unwrap_or(name).escape_ascii().to_string();
        if head.is_some() && name.len() > SHOWN {
            text.push('…');
        }
        Self(text)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

/// Why [`unpack`](crate::unpack) stopped. After any of these the folder holds a part of the layer:
/// remove it with [`remove_tree`](crate::remove_tree).
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the sentence of each variant is its documentation
pub enum UnpackError {
    // The blob and its compression.
    #[error(
        "layer media type '{media_type}' is unknown; use a tar layer of OCI or Docker, plain, gzip or zstd"
    )]
    UnknownMediaType { media_type: String },
    #[error("the layer's blob cannot be read: {source}; try again")]
    ReadBlob { source: io::Error },
    #[error(
        "the layer's blob has {seen} bytes or more where the manifest says {expected}; pull it again"
    )]
    BlobTooLong { expected: u64, seen: u64 },
    #[error(
        "the layer's blob ends after {seen} bytes where the manifest says {expected}; pull it again"
    )]
    BlobTooShort { expected: u64, seen: u64 },
    #[error("the layer's blob is {actual} where the manifest says {expected}; pull it again")]
    WrongDigest { expected: Digest, actual: Digest },
    #[error(
        "the layer unpacks to {actual} where the image's configuration says {expected}; rebuild the image"
    )]
    WrongDiffId { expected: Digest, actual: Digest },
    #[error("the layer's {compression} stream is damaged ({reason}); rebuild the image")]
    Damaged {
        compression: Compression,
        reason: String,
    },
    #[error("the layer's {compression} stream breaks off before its end; pull it again")]
    Truncated { compression: Compression },
    #[error("the layer's {compression} stream is followed by something else; rebuild the image")]
    TrailingData { compression: Compression },
    #[error("the layer unpacks to more than the {limit} bytes allowed; make it smaller")]
    TooManyBytes { limit: u64 },
    #[error(
        "the layer unpacks to more than {ratio} times its size, past {limit} bytes; it looks like a zip bomb"
    )]
    Bomb { ratio: u64, limit: u64 },

    // The archive.
    #[error("the layer's archive breaks off at byte {at}, inside an entry; rebuild the image")]
    TruncatedArchive { at: u64 },
    #[error(
        "the layer's archive goes on with data after its end mark, at byte {at}; rebuild the image"
    )]
    GarbageAfterEnd { at: u64 },
    #[error("the archive header at byte {at} has a wrong checksum; rebuild the image")]
    BadChecksum { at: u64 },
    #[error("the archive header of {path} has no valid {field}; rebuild the image")]
    BadHeader { path: Shown, field: &'static str },
    #[error("an extension record at byte {at} is malformed: {reason}; rebuild the image")]
    BadExtension { at: u64, reason: &'static str },
    #[error(
        "an extension record at byte {at} has {size} bytes and {limit} are allowed; use shorter names and attributes"
    )]
    ExtensionTooLong { at: u64, size: u64, limit: u64 },
    #[error("the layer has more than the {limit} entries allowed; split it or leave files out")]
    TooManyEntries { limit: u64 },
    #[error(
        "file {path} says it has {size} bytes where {limit} are left to this layer; make it smaller"
    )]
    FileTooLarge { path: Shown, size: u64, limit: u64 },
    #[error(
        "{path} is a sparse file, which layers do not have; rebuild the image without --sparse"
    )]
    Sparse { path: Shown },
    #[error(
        "{path} is a {kind} device, which an application may not bring; remove it from the image"
    )]
    Device { path: Shown, kind: &'static str },
    #[error("{path} is of the unknown archive type {kind}; rebuild the image")]
    UnknownType { path: Shown, kind: Shown },
    #[error("{path} carries data and is no file; rebuild the image")]
    DataWithoutFile { path: Shown },

    // Names.
    #[error("an entry has an empty name; rebuild the image")]
    EmptyName,
    #[error("{path} is an absolute path; layers name files from their own root")]
    AbsolutePath { path: Shown },
    #[error("{path} climbs out with '..'; layers name files from their own root")]
    ParentPath { path: Shown },
    #[error("{path} has a NUL byte in its name; rename it")]
    NulInName { path: Shown },
    #[error("path {path} is longer than the {limit} bytes allowed; shorten it")]
    PathTooLong { path: Shown, limit: usize },
    #[error("a name in {path} is longer than the {limit} bytes a file system takes; shorten it")]
    NameTooLong { path: Shown, limit: usize },
    #[error("{path} is deeper than the {limit} folders allowed; flatten it")]
    TooDeep { path: Shown, limit: usize },
    #[error(
        "an entry wants to replace the layer's root with something that is no folder; rebuild the image"
    )]
    RootNotFolder,
    #[error(
        "{path} is not a valid whiteout ('.wh.' and the name of one sibling, an empty file); rebuild the image"
    )]
    BadWhiteout { path: Shown },

    // Links.
    #[error("the layer has more than the {limit} hard links allowed; copy files instead")]
    TooManyHardLinks { limit: u64 },
    #[error(
        "hard link {path} points outside the layer, at {target}; link to a file of the same layer"
    )]
    HardLinkOutside { path: Shown, target: Shown },
    #[error(
        "hard link {path} points at {target}, which the layer has not brought; put the file before the link"
    )]
    HardLinkMissing { path: Shown, target: Shown },
    #[error(
        "hard link {path} points at {target}, which is no regular file; link to a regular file"
    )]
    HardLinkNotFile { path: Shown, target: Shown },
    #[error("symbolic link {path} has an empty, overlong or NUL-bearing target; rebuild the image")]
    BadSymlinkTarget { path: Shown },
    #[error("{path} lies behind symbolic links that lead in a circle; rebuild the image")]
    SymlinkLoop { path: Shown },
    #[error("{path} lies under something that is not a folder of this layer; rebuild the image")]
    ParentNotFolder { path: Shown },

    // Attributes.
    #[error("{path} belongs to id {id} and ids go to {limit}; change its owner")]
    OwnerOutOfRange { path: Shown, id: i64, limit: u32 },
    #[error(
        "{path} carries the extended attribute {name}, which an application may not bring; remove it"
    )]
    ForbiddenXattr { path: Shown, name: Shown },
    #[error(
        "{path} carries more than the {limit} bytes of extended attributes allowed; remove some"
    )]
    XattrsTooLong { path: Shown, limit: usize },
    #[error("{path} cannot have the extended attribute {name}: {source}; remove it")]
    BadXattr {
        path: Shown,
        name: Shown,
        source: io::Error,
    },

    // The file system, ours and the machine's.
    #[error("the disk is full at {path}; free space and try again")]
    DiskFull { path: Shown },
    #[error("{path} cannot be written ({operation}: {source}); check the store's file system")]
    Write {
        path: Shown,
        operation: &'static str,
        source: io::Error,
    },
    #[error("{path} cannot be removed: {source}; check the store's file system")]
    Remove { path: Shown, source: io::Error },
    #[error("a thread of the unpacker broke down; try again")]
    ThreadLost,
}

impl UnpackError {
    /// A failed system call on one entry.
    pub(crate) fn write(path: &[u8], operation: &'static str, errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        let path = Shown::new(path);
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull { path },
            other => Self::Write {
                path,
                operation,
                source: other.into(),
            },
        }
    }
}
