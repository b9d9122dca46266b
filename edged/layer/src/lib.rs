//! Unpacks one untrusted layer beneath one folder, and nowhere else.
//!
//! A layer is a tar archive somebody else wrote (OCI image specification, "Image Layer Filesystem Changeset"). This
//! crate reads it once and, on the way, checks the blob's size and digest, inflates it, checks the archive's digest
//! and puts every entry below the root. [`unpack`] does not undo anything: after an error the caller removes the
//! folder with [`remove_tree`].
//!
//! # What it refuses
//! Everything [`UnpackError`] names. Above all: a path that leaves the root (the kernel resolves every one with
//! `openat2(RESOLVE_IN_ROOT)`), a device, a sparse file, an owner past 65535, an attribute that would mean something to
//! overlayfs, a hard link to anything but a regular file of the same layer, a stream that is longer, shorter or other
//! than the manifest said.
//!
//! # What it decides
//! - Whiteouts become overlayfs' own (a character device 0:0, `trusted.overlay.opaque`), since layers are stacked as
//!   they are. They speak of the layers below only: what the same layer brings under the name stays.
//! - Set-uid and set-gid bits are kept: containers run with `no_new_privs` in a user namespace, where they give
//!   nothing. On the machine itself they would: **the folder's parent must be closed to everyone but root (0700).**
//! - `user.*` and `security.capability` are kept, labels and access lists of the building machine are dropped and
//!   counted, every other extended attribute is refused.
//! - A folder no entry describes is root's, mode 0755, of 1970: the same layer unpacks to the same tree.
//! - An archive may end without its two blocks of zeros, between entries: its digest says that it is whole.
//! - Nothing is synced: whoever marks the layer as complete calls `syncfs` before.
//!
//! # Threads and channels
//! The caller's thread parses and writes; three more live as long as [`unpack`]: one reads and inflates, two hash. Chunks
//! of 128 KiB go from the inflating thread to the others, four in each of two pools, and a thread that falls behind
//! holds the others up: 1 MiB in all, and the inflater's window (32 KiB for gzip, up to 8 MiB for zstd).
//!
//! # Needs
//! `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_FSETID`, `CAP_SETFCAP`, for opaque folders `CAP_SYS_ADMIN`; Linux 5.8.

mod archive;
mod beneath;
mod blob;
pub mod bounds;
mod compression;
mod entry;
mod error;
mod header;
mod path;
mod pax;
mod place;
mod pool;
mod remove;

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::ScopedJoinHandle;

use edged_model::Digest;
use rustix::fd::BorrowedFd;

pub use bounds::Bounds;
pub use compression::Compression;
pub use error::{Shown, UnpackError};
pub use remove::remove_tree;

use crate::archive::Archive;
use crate::beneath::Beneath;
use crate::blob::Blob;
use crate::compression::Inflater;
use crate::entry::Entries;
use crate::pool::{Chunk, Pool};

/// What the image's manifest and configuration say of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Of the blob as it is stored (manifest, `layers[].digest`).
    pub digest: Digest,
    /// Bytes of the blob (manifest, `layers[].size`).
    pub size: u64,
    /// Of the archive inside (configuration, `rootfs.diff_ids[]`).
    pub diff_id: Digest,
    /// How the archive is packed (manifest, `layers[].mediaType`).
    pub compression: Compression,
}

/// What a layer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries in the archive, whiteouts included.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// Extended attributes left out: labels and access lists of the building machine.
    pub dropped_xattrs: u64,
    /// The layer has an opaque whiteout in its root: do not stack it on the layers below (overlayfs reads the mark
    /// on folders in a layer, not on the layer's own root).
    pub hides_all_below: bool,
}

/// Unpacks `blob` beneath `root`, an empty folder that nobody else writes to.
///
/// # Errors
/// The first thing wrong with the stream, else with an entry, else with the digests. The folder then holds a part of
/// the layer and must be removed.
pub fn unpack(
    blob: impl Read + Send,
    root: BorrowedFd<'_>,
    expected: &Expected,
    bounds: &Bounds,
) -> Result<Unpacked, UnpackError> {
    std::thread::scope(|scope| {
        let (to_blob_hash, blob_chunks) = pool::chunks();
        let (to_diff_hash, diff_chunks) = pool::chunks();
        let (to_archive, archive_chunks) = pool::chunks();
        let digest = scope.spawn(move || pool::sha256(&blob_chunks));
        let diff_id = scope.spawn(move || pool::sha256(&diff_chunks));
        let inflated = scope.spawn(move || {
            inflate(
                Blob::new(blob, expected.size, to_blob_hash),
                expected,
                bounds,
                &[to_diff_hash, to_archive],
            )
        });
        let placed = place::place_all(
            Entries::new(Archive::new(archive_chunks), bounds),
            Beneath::new(root),
        );
        // A stream that breaks off also looks like a broken archive: its own reason is the better one.
        inflated.join().map_err(|_| UnpackError::ThreadLost)??;
        let unpacked = placed?;
        let (digest, diff_id) = (joined(digest)?, joined(diff_id)?);
        if digest != expected.digest {
            return Err(UnpackError::WrongDigest {
                expected: expected.digest.clone(),
                actual: digest,
            });
        }
        if diff_id != expected.diff_id {
            return Err(UnpackError::WrongDiffId {
                expected: expected.diff_id.clone(),
                actual: diff_id,
            });
        }
        Ok(unpacked)
    })
}

fn joined(hasher: ScopedJoinHandle<'_, Option<Digest>>) -> Result<Digest, UnpackError> {
    hasher.join().ok().flatten().ok_or(UnpackError::ThreadLost)
}

/// Sends the uncompressed archive to its readers until it ends or one of them has had enough.
fn inflate<R: Read>(
    mut blob: Blob<R>,
    expected: &Expected,
    bounds: &Bounds,
    readers: &[SyncSender<Arc<Chunk>>],
) -> Result<(), UnpackError> {
    let mut inflater = Inflater::new(expected.compression)?;
    let pool = Pool::new();
    let bomb = expected
        .size
        .saturating_mul(bounds.ratio)
        .max(bounds::RATIO_FLOOR);
    let mut bytes = 0_u64;
    loop {
        let mut chunk = pool.take().ok_or(UnpackError::ThreadLost)?;
        let count = chunk.fill(|room| inflater.fill(&mut blob, room))?;
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if bytes > bounds.bytes {
            return Err(UnpackError::TooManyBytes {
                limit: bounds.bytes,
            });
        }
        if bytes > bomb {
            return Err(UnpackError::Bomb {
                ratio: bounds.ratio,
                limit: bomb,
            });
        }
        if count == 0 {
            return Ok(());
        }
        let chunk = Arc::new(chunk);
        for reader in readers {
            // A reader that is gone has found something to refuse, and tells it itself.
            if reader.send(Arc::clone(&chunk)).is_err() {
                return Ok(());
            }
        }
    }
}
