//! Garbage collection: what neither the index, nor an instance, nor work in flight reaches, goes.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edged_model::Digest;
use tracing::warn;

use super::blob::TRASH;
use super::{ContentStore, Ledger, blocking};
use crate::ImageError;
use crate::document::{Blob, Document};

/// How long a broken-off download waits to be resumed.
const PARTIAL_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs and stale partial downloads.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl ContentStore {
    /// Removes every blob that no index entry, no manifest of `keep` and no [`super::Pin`] reaches, and downloads
    /// that broke off a day ago. `keep`: manifests of all instances.
    ///
    /// # Errors
    /// A folder or the manifest of an image cannot be read, or a file cannot be removed; everything still needed is there.
    pub async fn gc(&self, keep: &[Digest]) -> Result<Collected, ImageError> {
        let (store, keep) = (self.clone(), keep.to_vec());
        blocking(move || store.collect(&keep, Duration::ZERO)).await
    }

    /// The same, but for blobs of the last day: a pull that broke off goes on from the layers that came.
    ///
    /// # Errors
    /// As [`ContentStore::gc`].
    pub async fn gc_old(&self, keep: &[Digest]) -> Result<Collected, ImageError> {
        let (store, keep) = (self.clone(), keep.to_vec());
        blocking(move || store.collect(&keep, PARTIAL_KEPT)).await
    }

    fn collect(&self, keep: &[Digest], spared: Duration) -> Result<Collected, ImageError> {
        let doomed = {
            // Held while deciding: a blob pinned after this is looked for again by whoever pinned it, and not found.
            let ledger = self.ledger();
            let live = self.live(&ledger, keep)?;
            self.set_aside(&ledger, &live, spared)?
        };
        let mut collected = Collected::default();
        for path in doomed {
            let bytes = fs::metadata(&path).map_or(0, |found| found.len());
            fs::remove_file(&path).map_err(ImageError::file("remove", &path))?;
            collected.files = collected.files.saturating_add(1);
            collected.bytes = collected.bytes.saturating_add(bytes);
        }
        Ok(collected)
    }

    fn live(&self, ledger: &Ledger, keep: &[Digest]) -> Result<BTreeSet<Digest>, ImageError> {
        let mut live: BTreeSet<Digest> = ledger.pins.keys().cloned().collect();
        live.extend(ledger.index.testimonies().cloned());
        let indexed = ledger
            .index
            .entries()
            .into_iter()
            .map(|(_, manifest)| manifest);
        let manifests: BTreeSet<Digest> = indexed.chain(keep.iter().cloned()).collect();
        for manifest in manifests {
            match self.reach(&manifest) {
                Ok(blobs) => live.extend(blobs),
                // Without its manifest an image cannot be used, so nothing else of it is worth keeping. What cannot be read
                // now (a card that stumbles, no descriptor left) may be tomorrow.
                Err(error @ (ImageError::BlobMissing { .. } | ImageError::Refused { .. })) => {
                    warn!(%manifest, %error, "a manifest in use cannot be read; only itself is kept");
                }
                Err(error) => return Err(error),
            }
            live.insert(manifest);
        }
        Ok(live)
    }

    fn reach(&self, manifest: &Digest) -> Result<Vec<Digest>, ImageError> {
        let refused = |reason| ImageError::refused(manifest, reason);
        let bytes = self.read_document(manifest)?;
        let Document::Manifest(document) = Document::parse(&bytes, None).map_err(refused)? else {
            return Ok(Vec::new());
        };
        let descriptors = document.layers().iter().chain([document.config()]);
        descriptors
            .map(|it| Ok(Blob::described(it).map_err(refused)?.digest))
            .collect()
    }

    /// Renames the doomed out of the way, which is quick; deleting large files is not, and happens without the lock.
    fn set_aside(
        &self,
        ledger: &Ledger,
        live: &BTreeSet<Digest>,
        spared: Duration,
    ) -> Result<Vec<PathBuf>, ImageError> {
        let mut doomed = Vec::new();
        for (name, path, age) in self.list("blobs/sha256")? {
            let is_live = digest_named(&name).is_some_and(|digest| live.contains(&digest));
            if is_live || age < spared {
                continue;
            }
            doomed.push(self.rename_aside(&name, &path)?);
        }
        for (name, path, age) in self.list("partial")? {
            let pinned = digest_named(&name).is_none_or(|digest| ledger.pins.contains_key(&digest));
            if !pinned && age > PARTIAL_KEPT {
                doomed.push(self.rename_aside(&name, &path)?);
            }
        }
        Ok(doomed)
    }

    fn rename_aside(&self, name: &str, path: &Path) -> Result<PathBuf, ImageError> {
        let aside = self.partial_path(&format!("{TRASH}{name}"));
        fs::rename(path, &aside).map_err(ImageError::file("set aside", path))?;
        Ok(aside)
    }

    /// Name, path and age of each regular file.
    fn list(&self, part: &str) -> Result<Vec<(String, PathBuf, Duration)>, ImageError> {
        let folder = self.folder().join(part);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(ImageError::file("list", &folder))? {
            let entry = entry.map_err(ImageError::file("list", &folder))?;
            let path = entry.path();
            let found = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                found => found.map_err(ImageError::file("look at", &path))?,
            };
            if let (true, Ok(name)) = (found.is_file(), entry.file_name().into_string()) {
                // A clock that jumped back makes a file young, and it is kept.
                let age = found
                    .modified()
                    .ok()
                    .and_then(|time| time.elapsed().ok())
                    .unwrap_or_default();
                files.push((name, path, age));
            }
        }
        Ok(files)
    }
}

fn digest_named(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}
