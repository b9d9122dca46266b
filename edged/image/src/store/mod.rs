//! The content store: a folder that is an OCI image layout (image specification, "Image Layout").
//!
//! `blobs/sha256/HEX` holds what is whole, `partial/HEX` what is being fetched, `index.json` says which reference
//! points at which manifest, `lock` keeps a second process out. Folders are 0755 and blobs 0644, because the worker
//! reads the layers as another user.

mod admission;
mod blob;
mod collect;
mod index;
mod pins;
mod spare;
mod testimony;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use edged_model::{Digest, ImageReference};
use tracing::warn;

pub(crate) use blob::{BlobWriter, CHUNK, digest_of};
pub use collect::Collected;
pub use index::{Origin, Voucher};
pub(crate) use index::{REF_NAME, replace};
pub use pins::Pin;
pub(crate) use testimony::{Judged, Testimony};

use crate::document::{Blob, DOCUMENT_MAX, Document};
use crate::{Architecture, Image, ImageError, ImageTrust, Refusal};
use index::{Entry, Index};

/// Chunks between the network and the disk: enough to keep both busy, few enough to stay below 1 MiB a layer.
pub const CHUNKS_IN_FLIGHT: usize = 4;
/// Everybody reads; only edged writes.
const FOLDER_MODE: u32 = 0o755;
/// See [`FOLDER_MODE`].
const FILE_MODE: u32 = 0o644;

/// A content store, open. Clones are handles of the same store.
#[derive(Debug, Clone)]
pub struct ContentStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    trust: ImageTrust,
    ledger: Mutex<Ledger>,
    /// One writer a blob: a second pull of the same layer waits and then finds it there.
    writers: Mutex<BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// Locked as long as the store is open.
    _lock: File,
}

/// What decides whether a blob may go. One lock, so that the collector sees index and pins at one moment.
#[derive(Debug)]
struct Ledger {
    index: Index,
    pins: BTreeMap<Digest, usize>,
}

impl ContentStore {
    /// Opens or makes the store in `folder` and clears away what a crash left half done. Blocks; meant for start-up.
    ///
    /// # Errors
    /// Another process has it open, the index is not ours, or the folder cannot be written.
    pub fn open(folder: &Path) -> Result<Self, ImageError> {
        Self::guarded(folder, ImageTrust::default())
    }

    /// As [`ContentStore::open`], with a policy that every image that is pulled or loaded has to satisfy.
    ///
    /// # Errors
    /// As [`ContentStore::open`].
    pub fn guarded(folder: &Path, trust: ImageTrust) -> Result<Self, ImageError> {
        for part in ["", "blobs", "blobs/sha256", "partial"] {
            make_folder(&folder.join(part))?;
        }
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(ImageError::file("open", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ImageError::StoreInUse(folder.to_owned()),
            TryLockError::Error(error) => ImageError::file("lock", &lock_path)(error),
        })?;
        blob::clear_leftovers(&folder.join("partial"))?;
        let index = Index::open(folder)?;
        let ledger = Mutex::new(Ledger {
            index,
            pins: BTreeMap::new(),
        });
        let writers = Mutex::default();
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                trust,
                ledger,
                writers,
                _lock: lock,
            }),
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Whose images it takes.
    pub fn trust(&self) -> &ImageTrust {
        &self.inner.trust
    }

    /// Who vouched for the image that a reference points at, when it was taken. Memory only.
    pub fn voucher(&self, reference: &ImageReference) -> Option<Voucher> {
        self.ledger().index.voucher(reference).cloned()
    }

    /// How the image that a reference points at came; none where it came before that was kept. Memory only.
    pub fn origin(&self, reference: &ImageReference) -> Option<Origin> {
        self.ledger().index.entry(reference)?.origin
    }

    /// Where the blob of that digest is, once it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.inner.folder.join("blobs/sha256").join(digest.hex())
    }

    fn partial_path(&self, name: &str) -> PathBuf {
        self.inner.folder.join("partial").join(name)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.inner
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifest that a reference points at here. Memory only.
    pub fn resolve(&self, reference: &ImageReference) -> Option<Digest> {
        self.ledger().index.get(reference).cloned()
    }

    /// All images, by reference. One that cannot be read is left out, with a warning in the log.
    ///
    /// # Errors
    /// Only shutdown.
    pub async fn images(&self) -> Result<Vec<Image>, ImageError> {
        let store = self.clone();
        blocking(move || {
            let entries = store.ledger().index.entries();
            let readable = entries.into_iter().filter_map(|(reference, manifest)| {
                store
                    .read_image(&reference, &manifest)
                    .inspect_err(
                        |error| warn!(%reference, %error, "an image of the store cannot be read"),
                    )
                    .ok()
            });
            Ok(readable.collect())
        })
        .await
    }

    /// The image that a reference points at.
    ///
    /// # Errors
    /// It is not stored, or a blob of it is missing or damaged.
    pub async fn image(&self, reference: &ImageReference) -> Result<Image, ImageError> {
        let manifest = self
            .resolve(reference)
            .ok_or_else(|| ImageError::NotStored(reference.clone()))?;
        self.image_at(reference, &manifest).await
    }

    /// The image of a manifest, whatever the reference points at by now: what an instance was pinned to.
    ///
    /// # Errors
    /// A blob of it is missing or damaged.
    pub async fn image_at(
        &self,
        reference: &ImageReference,
        manifest: &Digest,
    ) -> Result<Image, ImageError> {
        let (store, reference, manifest) = (self.clone(), reference.clone(), manifest.clone());
        blocking(move || store.read_image(&reference, &manifest)).await
    }

    /// Forgets a reference; its blobs stay until [`ContentStore::gc`]. False: there was none. Durable.
    ///
    /// # Errors
    /// The index cannot be written.
    pub async fn remove(&self, reference: &ImageReference) -> Result<bool, ImageError> {
        let (store, reference) = (self.clone(), reference.clone());
        blocking(move || store.ledger().index.remove(&reference)).await
    }

    /// Reads a blob that somebody could not use (the worker, when a layer did not unpack) and throws it away where it is
    /// not what its name says, so that the next pull or load brings it again; whether it was.
    ///
    /// # Errors
    /// It cannot be read or removed.
    pub async fn discard_damaged(&self, digest: &Digest) -> Result<bool, ImageError> {
        let (path, digest) = (self.blob_path(digest), digest.clone());
        blocking(move || {
            let file = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                opened => opened.map_err(ImageError::file("open", &path))?,
            };
            if blob::digest_of_all(file).map_err(ImageError::file("read", &path))? == digest {
                return Ok(false);
            }
            fs::remove_file(&path).map_err(ImageError::file("remove", &path))?;
            Ok(true)
        })
        .await
    }

    /// Points a reference at a manifest whose blobs are all here and pinned by the caller. Durable; blocks.
    pub(crate) fn record(
        &self,
        reference: &ImageReference,
        manifest: &Digest,
        origin: Origin,
        judged: Option<&Judged>,
    ) -> Result<(), ImageError> {
        let subject = reference.to_string();
        let release = judged.and_then(|judged| judged.accepted.release.as_ref());
        self.trust().remember(&subject, release)?;
        // Pinned until the index reaches it.
        let kept = match judged {
            Some(judged) => {
                let bytes = judged.testimony.bytes();
                let bytes = bytes.map_err(|reason| ImageError::refused(&subject, reason))?;
                Some(self.write_document(&subject, &bytes)?)
            }
            None => None,
        };
        let path = self.blob_path(manifest);
        let size = fs::metadata(&path)
            .map_err(ImageError::file("look at", &path))?
            .len();
        let manifest = Blob {
            digest: manifest.clone(),
            size,
        };
        let voucher = judged.map(|Judged { accepted, .. }| Voucher {
            key: accepted.key.to_string(),
            digest: accepted.digest.clone(),
            testimony: kept.as_ref().map(|pin| pin.digest().clone()),
        });
        let entry = Entry {
            manifest,
            origin: Some(origin),
            voucher,
        };
        self.ledger().index.insert(reference, entry)
    }

    /// Is that blob here, whole? Blocks.
    pub(crate) fn has(&self, blob: &Blob) -> bool {
        fs::metadata(self.blob_path(&blob.digest))
            .is_ok_and(|found| found.is_file() && found.len() == blob.size)
    }

    /// A manifest, index or configuration of the store, checked against its digest. Blocks.
    pub(crate) fn read_document(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        use std::io::Read as _;
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.missing(digest));
            }
            opened => opened.map_err(ImageError::file("open", &path))?,
        };
        let mut bytes = Vec::new();
        let bound = u64::try_from(DOCUMENT_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        file.take(bound)
            .read_to_end(&mut bytes)
            .map_err(ImageError::file("read", &path))?;
        let found = digest_of(&bytes);
        if bytes.len() > DOCUMENT_MAX {
            let reason = Refusal::DocumentTooLarge {
                document: "manifest",
                limit: DOCUMENT_MAX,
            };
            Err(ImageError::refused(digest, reason))
        } else if found != *digest {
            Err(ImageError::refused(
                digest,
                Refusal::WrongDigest {
                    expected: digest.clone(),
                    found,
                },
            ))
        } else {
            Ok(bytes)
        }
    }

    /// Keeps a document. The pin keeps it until the index reaches it. Blocks.
    pub(crate) fn write_document(&self, subject: &str, bytes: &[u8]) -> Result<Pin, ImageError> {
        let mut writer = BlobWriter::spool(self, subject)?;
        writer.write(bytes)?;
        writer.finish().map(|(pin, _)| pin)
    }

    fn missing(&self, digest: &Digest) -> ImageError {
        ImageError::BlobMissing {
            digest: digest.clone(),
            folder: self.inner.folder.clone(),
        }
    }

    /// Reads an image and makes sure that all of it is here. Blocks.
    pub(crate) fn read_image(
        &self,
        reference: &ImageReference,
        manifest: &Digest,
    ) -> Result<Image, ImageError> {
        let refused = |reason| ImageError::refused(reference, reason);
        let bytes = self.read_document(manifest)?;
        let document = match Document::parse(&bytes, None).map_err(refused)? {
            Document::Manifest(document) => document,
            Document::Index(_) => {
                let announced = "a manifest of this store".to_owned();
                return Err(refused(Refusal::KindMismatch {
                    announced,
                    content: "an index",
                }));
            }
        };
        let config = crate::image::config_blob(&document).map_err(refused)?;
        let config_bytes = self.read_document(&config.digest)?;
        let host = Architecture::host();
        let image = Image::join(
            reference.clone(),
            manifest.clone(),
            &document,
            &config_bytes,
            host,
        )
        .map_err(refused)?;
        let gone = |layer: &&crate::Layer| {
            !self.has(&Blob {
                digest: layer.digest.clone(),
                size: layer.size,
            })
        };
        match image.layers.iter().find(gone) {
            Some(layer) => Err(self.missing(&layer.digest)),
            None => Ok(image),
        }
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ImageError::Cancelled)?
}

fn make_folder(path: &Path) -> Result<(), ImageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)))
        .map_err(ImageError::file("make folder", path))
}

/// Makes a rename durable (fsync(2): the folder holds the name).
fn sync_folder(path: &Path) -> Result<(), ImageError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(ImageError::file("sync folder", path))
}
