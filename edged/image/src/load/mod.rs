//! Loading: images from an archive on a stream (`docker save`, `skopeo copy … docker-archive:`, an OCI layout in a
//! tar), or from an OCI layout in a folder.
//!
//! The archive is read once, from its beginning, because it comes through a pipe: blobs go into the store as they
//! pass, by the digest that they turn out to have, and only then is it known which of them make an image. What no
//! image needs is left to the collector.

mod archive;
mod intake;
mod naming;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use bytes::{Buf, Bytes};
use edged_model::ImageReference;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::store::{CHUNK, CHUNKS_IN_FLIGHT, blocking};
use crate::{ContentStore, Image, ImageError};
use intake::Intake;

/// Loads the one image of an archive and records it under `name` alone, whatever names the archive has for it: somebody
/// else's image of such a name stays what it is.
///
/// # Errors
/// As [`load`]; an archive with several images is refused.
pub async fn load_as(
    store: &ContentStore,
    source: impl AsyncRead + Unpin,
    name: &ImageReference,
) -> Result<Image, ImageError> {
    let name = name.clone();
    read(store, source, move |intake| intake.finish_as(&name)).await
}

/// Loads every image of an archive: tar, or tar in gzip or Zstandard. `name` is for the one image of an archive
/// that does not name it; images that name themselves keep their names.
///
/// # Errors
/// The stream breaks off, or what it holds is refused.
pub async fn load(
    store: &ContentStore,
    source: impl AsyncRead + Unpin,
    name: Option<&ImageReference>,
) -> Result<Vec<Image>, ImageError> {
    let name = name.cloned();
    read(store, source, move |intake| intake.finish(name.as_ref())).await
}

async fn read<T: Send + 'static>(
    store: &ContentStore,
    mut source: impl AsyncRead + Unpin,
    finish: impl FnOnce(Intake) -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let (chunks, received) = mpsc::channel::<io::Result<Bytes>>(CHUNKS_IN_FLIGHT);
    let store = store.clone();
    let reading = blocking(move || {
        let mut intake = Intake::new(store);
        archive::read(
            Received {
                chunks: received,
                current: Bytes::new(),
            },
            &mut intake,
        )?;
        finish(intake)
    });
    let feeding = async move {
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(CHUNK);
            let chunk = match source.read_buf(&mut buffer).await {
                Ok(0) => break,
                Ok(_) => Ok(buffer.freeze()),
                Err(error) => Err(error),
            };
            let last = chunk.is_err();
            // The reader has seen enough, or refused: it says which.
            if chunks.send(chunk).await.is_err() || last {
                break;
            }
        }
    };
    let (found, ()) = tokio::join!(reading, feeding);
    found
}

/// Loads every image of an OCI layout in a folder, which is only read.
///
/// # Errors
/// The folder cannot be read, or what it holds is refused.
pub async fn load_folder(
    store: &ContentStore,
    folder: &Path,
    name: Option<&ImageReference>,
) -> Result<Vec<Image>, ImageError> {
    let (store, folder, name) = (store.clone(), folder.to_owned(), name.cloned());
    blocking(move || {
        let mut intake = Intake::new(store);
        for entry in ["index.json", "manifest.json"] {
            let path = folder.join(entry);
            if path.is_file() {
                intake.file(entry, &mut open(&path)?)?;
            }
        }
        let blobs = folder.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).map_err(ImageError::file("list", &blobs))? {
            let entry = entry.map_err(ImageError::file("list", &blobs))?;
            // A link is not followed: what is loaded lies in the folder.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let name = format!("blobs/sha256/{}", entry.file_name().to_string_lossy());
                intake.file(&name, &mut open(&entry.path())?)?;
            }
        }
        intake.finish(name.as_ref())
    })
    .await
}

fn open(path: &Path) -> Result<File, ImageError> {
    File::open(path).map_err(ImageError::file("open", path))
}

/// The other end of the channel, as the blocking side reads it.
struct Received {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl io::Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..count) {
            self.current.copy_to_slice(buffer);
        }
        Ok(count)
    }
}
