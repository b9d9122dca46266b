//! Why nothing is taken from a stick.

use std::io;
use std::path::PathBuf;

/// One sentence each, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// No disk on USB.
    #[error("no stick is plugged in: plug one in, wait a few seconds, and say it again")]
    None,
    /// Disks, and nothing on them that is known.
    #[error(
        "the stick has no file system that a box reads: format it as FAT32 or exFAT, and copy the bundle to it"
    )]
    Unknown,
    /// File systems, and no bundle.
    #[error(
        "the stick has no bundle in its top folder: copy a file whose name ends in .update there"
    )]
    NoBundle,
    /// A choice that is not ours.
    #[error("more than one bundle is plugged in ({0}): leave the one that you mean")]
    Several(String),
    /// The file system contradicts itself.
    #[error(
        "the stick's file system is damaged ({0}): copy the bundle to it anew, and eject it before you pull it out"
    )]
    Damaged(&'static str),
    /// The device's.
    #[error("the stick cannot be read ({0}): try another one")]
    Read(io::Error),
    /// A device node.
    #[error("{path} cannot be opened: {source}")]
    Open {
        /// Of the disk or partition.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel's list of disks.
    #[error("the disks cannot be listed: {0}")]
    List(io::Error),
}
