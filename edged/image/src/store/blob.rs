//! Writing a blob: hashed, counted and written in one pass, and under its name only when it is whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use edged_model::Digest;
use ring::digest::{Context, SHA256};
use tokio::sync::OwnedMutexGuard;

use super::{ContentStore, FILE_MODE, Pin, sync_folder};
use crate::document::Blob;
use crate::image::LAYER_MAX;
use crate::{ImageError, Refusal};

/// Bytes a read: a few disk blocks, small beside the channels.
pub(crate) const CHUNK: usize = 128 * 1024;
/// Names of blobs whose digest is not known yet, and of blobs on their way out: gone after a restart.
const SPOOL: &str = "spool-";
pub(super) const TRASH: &str = "trash-";

/// A blob being written. Dropped before its end, a described blob stays in `partial/` to be resumed; a spooled one
/// goes.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    store: ContentStore,
    /// For messages: the reference or the archive.
    subject: String,
    path: PathBuf,
    file: File,
    hash: Hash,
    written: u64,
    described: Option<Described>,
    keep: bool,
}

/// What a described blob holds as long as it is written: even when the task that fetches it is gone already.
#[derive(Debug)]
struct Described {
    blob: Blob,
    _pin: Pin,
    _turn: OwnedMutexGuard<()>,
}

struct Hash(Context);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SHA-256")
    }
}

impl Hash {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn finish(self) -> Digest {
        digest(&self.0.finish())
    }
}

/// The digest of all that a reader gives.
pub(super) fn digest_of_all(mut reader: impl Read) -> io::Result<Digest> {
    let mut hash = Hash::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(hash.finish()),
            length => hash.0.update(chunk.get(..length).unwrap_or_default()),
        }
    }
}

/// The digest of bytes in memory.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    digest(&ring::digest::digest(&SHA256, bytes))
}

fn digest(hash: &ring::digest::Digest) -> Digest {
    let mut bytes = [0; 32];
    // SHA-256 has 32 bytes, so the zip runs to the end of both.
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    Digest::from_sha256(bytes)
}

impl ContentStore {
    /// The turn to write a blob; whoever waited looks first whether it is there by now.
    pub(crate) async fn turn(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut writers = self
                .inner
                .writers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            writers.retain(|_, lock| lock.strong_count() > 0);
            let lock = writers
                .get(digest)
                .and_then(Weak::upgrade)
                .unwrap_or_default();
            writers.insert(digest.clone(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}

impl BlobWriter {
    /// Goes on with a described blob where the last attempt ended, hashing again what is here.
    pub(crate) fn resume(
        store: &ContentStore,
        subject: &str,
        blob: &Blob,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self, ImageError> {
        let path = store.partial_path(blob.digest.hex());
        let described = Described {
            blob: blob.clone(),
            _pin: store.pin(&blob.digest),
            _turn: turn,
        };
        let mut writer = Self::create(store, subject, path, Some(described))?;
        let file = |operation| ImageError::file(operation, &writer.path);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = writer.file.read(&mut buffer).map_err(file("read"))?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            writer.hash.0.update(chunk);
            writer.written = writer.written.saturating_add(length(chunk));
        }
        if writer.written > blob.size {
            writer.restart()?;
        }
        Ok(writer)
    }

    /// Begins a blob that gets its name from its content.
    pub(crate) fn spool(store: &ContentStore, subject: &str) -> Result<Self, ImageError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = store.partial_path(&format!("{SPOOL}{number}"));
        Self::create(store, subject, path, None)
    }

    fn create(
        store: &ContentStore,
        subject: &str,
        path: PathBuf,
        described: Option<Described>,
    ) -> Result<Self, ImageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(described.is_none())
            .open(&path)
            .and_then(|file| {
                file.set_permissions(Permissions::from_mode(FILE_MODE))
                    .map(|()| file)
            })
            .map_err(ImageError::file("open", &path))?;
        let keep = described.is_some();
        let (store, subject) = (store.clone(), subject.to_owned());
        Ok(Self {
            store,
            subject,
            path,
            file,
            hash: Hash::new(),
            written: 0,
            described,
            keep,
        })
    }

    /// Bytes that are here.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Refuses what was spooled unless it has that digest.
    pub(crate) fn expect(&self, expected: &Digest) -> Result<(), ImageError> {
        let found = digest(&self.hash.0.clone().finish());
        if found == *expected {
            return Ok(());
        }
        Err(self.refused(Refusal::WrongDigest {
            expected: expected.clone(),
            found,
        }))
    }

    /// Is it what it was described as? Costs nothing: the hash was kept along.
    pub(crate) fn matches(&self) -> bool {
        let found = digest(&self.hash.0.clone().finish());
        self.described
            .as_ref()
            .is_none_or(|it| it.blob.digest == found && it.blob.size == self.written)
    }

    /// Begins anew, keeping the turn.
    pub(crate) fn restart(&mut self) -> Result<(), ImageError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(ImageError::file("empty", &self.path))?;
        self.hash = Hash::new();
        self.written = 0;
        Ok(())
    }

    /// Takes the next bytes; refused as soon as they are more than described.
    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        let total = self.written.saturating_add(length(chunk));
        match &self.described {
            Some(Described { blob, .. }) if total > blob.size => {
                let (digest, described) = (blob.digest.clone(), blob.size);
                self.keep = false;
                return Err(self.refused(Refusal::WrongSize {
                    digest,
                    described,
                    found: total,
                }));
            }
            None if total > LAYER_MAX => {
                return Err(self.refused(Refusal::ArchiveTooLarge(LAYER_MAX)));
            }
            _ => {}
        }
        if let Err(error) = self.file.write_all(chunk) {
            let error = ImageError::file("write", &self.path)(error);
            // The last free bytes are the node's; half a layer must not sit on them.
            self.keep = !matches!(error, ImageError::Full(_)) && self.keep;
            return Err(error);
        }
        self.hash.0.update(chunk);
        self.written = total;
        Ok(())
    }

    /// Checks the blob, makes it durable and gives it its name. Answers its pin and its size.
    pub(crate) fn finish(mut self) -> Result<(Pin, u64), ImageError> {
        let found = std::mem::replace(&mut self.hash, Hash::new()).finish();
        if let Some(Described { blob, .. }) = &self.described
            && (blob.size != self.written || blob.digest != found)
        {
            let Blob { digest, size } = blob.clone();
            self.keep = false;
            return Err(self.refused(if size == self.written {
                Refusal::WrongDigest {
                    expected: digest,
                    found,
                }
            } else {
                Refusal::WrongSize {
                    digest,
                    described: size,
                    found: self.written,
                }
            }));
        }
        self.file
            .sync_all()
            .map_err(ImageError::file("sync", &self.path))?;
        // Pinned before it has its name: the collector never sees it unpinned.
        let pin = self.store.pin(&found);
        let path = self.store.blob_path(&found);
        fs::rename(&self.path, &path).map_err(ImageError::file("name", &path))?;
        self.keep = true;
        sync_folder(&self.store.folder().join("blobs/sha256"))?;
        Ok((pin, self.written))
    }

    fn refused(&self, reason: Refusal) -> ImageError {
        ImageError::refused(&self.subject, reason)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.keep {
            // A leftover is cleared at the next start; there is nobody to tell here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Removes what has no meaning after a restart: spooled and doomed blobs. Partial blobs stay.
pub(super) fn clear_leftovers(partial: &Path) -> Result<(), ImageError> {
    for entry in fs::read_dir(partial).map_err(ImageError::file("list", partial))? {
        let path = entry.map_err(ImageError::file("list", partial))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with(SPOOL) || name.starts_with(TRASH) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(ImageError::file("remove", &path)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
