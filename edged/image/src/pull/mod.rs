//! Pulling: from a reference to an image whose every blob is here, verified and durable.

mod failure;
mod registry;
mod retry;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use edged_model::{Digest, ImageReference};
use futures_util::{StreamExt, TryStreamExt, stream};
use oci_spec::image::ImageManifest;
use tokio::sync::mpsc;

use crate::document::{Blob, Document, INDEX_DEPTH_MAX};
use crate::store::{BlobWriter, CHUNK, CHUNKS_IN_FLIGHT, blocking, digest_of};
use crate::{Architecture, ContentStore, Image, ImageError, Pin, Refusal};
use failure::Failure;
use registry::{Asked, Registry};
pub use retry::Patience;
use retry::Retry;

/// Layers fetched at a time: one hides the other's round trips; more would only share the same line.
const LAYERS_AT_A_TIME: usize = 2;
/// Progress is told each time so many bytes came.
const REPORT_EACH: u64 = 256 * 1024;
/// A download that came on by so much begins a new count of attempts; less, and a registry could keep us for ever.
const PROGRESS: u64 = 1024 * 1024;

/// Which registries there are to be lenient with, and how to log in.
#[derive(Debug, Clone, Default)]
pub struct PullerConfig {
    /// Registries (`HOST` or `HOST:PORT`) that are spoken to in plain HTTP. Key `registries.insecure`.
    pub insecure: Vec<String>,
    /// PEM file of authorities trusted beside the system's. Key `registries.ca`.
    pub ca: Option<PathBuf>,
    /// By registry. Key `registries.credentials`.
    pub credentials: BTreeMap<String, Credential>,
    /// Time-outs and retries.
    pub patience: Patience,
}

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Name.
    pub username: String,
    /// Password or access token; never shown.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The registry is asked what the reference stands for.
    Resolving,
    /// A layer comes; `done` equals `total` when it is here, at once if it was.
    Layer {
        /// Which.
        digest: Digest,
        /// Bytes here.
        done: u64,
        /// Bytes of it.
        total: u64,
    },
    /// All is here and recorded.
    Done,
}

/// Fetches images into a store.
#[derive(Debug, Clone)]
pub struct Puller {
    store: ContentStore,
    config: PullerConfig,
}

/// One pull: what all of its steps need.
struct Pull<'a> {
    store: &'a ContentStore,
    reference: &'a ImageReference,
    registry: Registry,
    patience: &'a Patience,
    progress: &'a (dyn Fn(PullEvent) + Send + Sync),
}

impl Puller {
    /// A puller into `store`.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn new(store: ContentStore, config: PullerConfig) -> Result<Self, ImageError> {
        // Read now, so that a wrong path shows at start and not at the first pull.
        tls::authorities(config.ca.as_deref())?;
        Ok(Self { store, config })
    }

    /// The store it fills.
    pub fn store(&self) -> &ContentStore {
        &self.store
    }

    /// Pulls an image: all of it is here, verified and durable, when this answers. A tag is asked for again each
    /// time; a digest that is here needs no registry. `progress` is called often and must not block.
    ///
    /// Dropping the future stops the pull; what came of the layers is kept for the next.
    ///
    /// # Errors
    /// Every [`ImageError`] but those of archives.
    pub async fn pull(
        &self,
        reference: &ImageReference,
        progress: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Image, ImageError> {
        progress(PullEvent::Resolving);
        if reference.digest().is_some()
            && let Ok(image) = self.store.image(reference).await
        {
            progress(PullEvent::Done);
            return Ok(image);
        }
        let registry = Registry::new(&self.config, reference)?;
        let patience = &self.config.patience;
        let pull = Pull {
            store: &self.store,
            reference,
            registry,
            patience,
            progress,
        };
        let image = pull.run().await?;
        progress(PullEvent::Done);
        Ok(image)
    }
}

impl Pull<'_> {
    async fn run(&self) -> Result<Image, ImageError> {
        let (digest, bytes, manifest) = self.resolve().await?;
        let config = crate::image::config_blob(&manifest).map_err(|reason| self.refused(reason))?;
        let layers = crate::image::layer_blobs(&manifest).map_err(|reason| self.refused(reason))?;
        // Pinned before anything is looked for, so that what is found stays.
        let layers: BTreeSet<Blob> = layers.into_iter().map(|(blob, _)| blob).collect();
        let blobs = || layers.iter().chain([&config]);
        let _pins: Vec<Pin> = blobs().map(|blob| self.store.pin(&blob.digest)).collect();

        let (store, subject) = (self.store.clone(), self.reference.to_string());
        let _manifest_pin = blocking(move || store.write_document(&subject, &bytes)).await?;
        self.fetch(&config, false).await?;
        // The configuration is checked before a layer is fetched: a wrong image costs no megabytes.
        let (store, reference, id, document) = (
            self.store.clone(),
            self.reference.clone(),
            digest.clone(),
            manifest.clone(),
        );
        let image = blocking(move || {
            let config = store.read_document(&config.digest)?;
            Image::join(
                reference.clone(),
                id,
                &document,
                &config,
                Architecture::host(),
            )
            .map_err(|reason| ImageError::refused(&reference, reason))
        })
        .await?;
        // Owned blobs: a future that borrows its item is not `Send` for every lifetime.
        stream::iter(layers)
            .map(|blob| async move { self.fetch(&blob, true).await })
            .buffer_unordered(LAYERS_AT_A_TIME)
            .try_collect::<Vec<()>>()
            .await?;
        let (store, reference) = (self.store.clone(), self.reference.clone());
        blocking(move || store.record(&reference, &digest)).await?;
        Ok(image)
    }

    fn refused(&self, reason: Refusal) -> ImageError {
        ImageError::refused(self.reference, reason)
    }

    /// The manifest for this machine, its digest and its bytes, through at most [`INDEX_DEPTH_MAX`] indexes.
    async fn resolve(&self) -> Result<(Digest, Vec<u8>, Box<ImageManifest>), ImageError> {
        let mut asked = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => Asked::Digest(digest.clone()),
            (None, tag) => Asked::Tag(tag.map_or("latest", |tag| tag.as_str()).to_owned()),
        };
        for _ in 0..=INDEX_DEPTH_MAX {
            let (bytes, media_type, named) = self.manifest(&asked).await?;
            let digest = digest_of(&bytes);
            asked
                .check(&digest, bytes.len(), named)
                .map_err(|reason| self.refused(reason))?;
            match Document::parse(&bytes, media_type.as_deref())
                .map_err(|reason| self.refused(reason))?
            {
                Document::Manifest(manifest) => return Ok((digest, bytes, manifest)),
                Document::Index(index) => {
                    let entry = Architecture::host()
                        .choose(&index)
                        .map_err(|reason| self.refused(reason))?;
                    let blob =
                        Blob::document(entry, "manifest").map_err(|reason| self.refused(reason))?;
                    asked = Asked::Entry(blob);
                }
            }
        }
        Err(self.refused(Refusal::IndexTooDeep(INDEX_DEPTH_MAX)))
    }

    async fn manifest(&self, asked: &Asked) -> Result<registry::Served, ImageError> {
        let mut retry = Retry::new(self.patience);
        loop {
            match self.registry.manifest(asked).await {
                Ok(served) => return Ok(served),
                Err(Failure::Passing(reason)) => {
                    self.again(&mut retry, "manifest", 0, reason).await?;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    /// Waits before the next attempt, or says that there is none.
    async fn again(
        &self,
        retry: &mut Retry<'_>,
        what: &str,
        at: u64,
        reason: failure::Passing,
    ) -> Result<(), ImageError> {
        match retry.next_delay(reason.retry_after) {
            Some(delay) => {
                tracing::debug!(image = %self.reference, what, at, ?delay, reason = %reason.text, "trying again");
                tokio::time::sleep(delay).await;
                Ok(())
            }
            None => Err(reason.into_error(self.registry.name(), what, at)),
        }
    }

    /// Fetches one blob unless it is here. The caller has it pinned.
    async fn fetch(&self, blob: &Blob, report: bool) -> Result<(), ImageError> {
        let turn = self.store.turn(&blob.digest).await;
        let (store, subject, wanted) =
            (self.store.clone(), self.reference.to_string(), blob.clone());
        let writer = blocking(move || {
            // A document is read again anyway; a layer is hashed by whoever unpacks it.
            if store.has(&wanted) && (report || store.read_document(&wanted.digest).is_ok()) {
                return Ok(None);
            }
            BlobWriter::resume(&store, &subject, &wanted, turn).map(Some)
        })
        .await?;
        if let Some(writer) = writer {
            self.download(blob, writer, report).await?;
        }
        self.report(report, blob, blob.size);
        Ok(())
    }

    fn report(&self, wanted: bool, blob: &Blob, done: u64) {
        if wanted {
            (self.progress)(PullEvent::Layer {
                digest: blob.digest.clone(),
                done,
                total: blob.size,
            });
        }
    }

    async fn download(
        &self,
        blob: &Blob,
        mut writer: BlobWriter,
        report: bool,
    ) -> Result<(), ImageError> {
        let mut retry = Retry::new(self.patience);
        // What an earlier run left may be damaged: it gets one second chance from the first byte.
        let mut inherited = writer.written() > 0;
        loop {
            let before = writer.written();
            let outcome;
            (writer, outcome) = self.transfer(blob, writer, report).await?;
            if let Err(failure) = outcome {
                let Failure::Passing(reason) = failure else {
                    return failure.into_result();
                };
                if writer.written().saturating_sub(before) >= PROGRESS {
                    retry = Retry::new(self.patience);
                }
                self.again(&mut retry, blob.digest.as_str(), writer.written(), reason)
                    .await?;
                continue;
            }
            if !inherited || writer.matches() {
                return blocking(move || writer.finish().map(drop)).await;
            }
            inherited = false;
            writer = blocking(move || writer.restart().map(|()| writer)).await?;
        }
    }

    /// One request's worth of a blob. The outer error is of the disk or of the content and final.
    async fn transfer(
        &self,
        blob: &Blob,
        mut writer: BlobWriter,
        report: bool,
    ) -> Result<(BlobWriter, Result<(), Failure>), ImageError> {
        if writer.written() == blob.size {
            return Ok((writer, Ok(())));
        }
        let mut answer = match self
            .registry
            .blob(self.reference, blob, writer.written())
            .await
        {
            Ok(answer) => answer,
            Err(failure) => return Ok((writer, Err(failure))),
        };
        let resumed = answer.resumed;
        let (chunks, mut received) = mpsc::channel::<Bytes>(CHUNKS_IN_FLIGHT);
        let done = if resumed { writer.written() } else { 0 };
        let disk = tokio::task::spawn_blocking(move || {
            if !resumed {
                writer.restart()?;
            }
            while let Some(chunk) = received.blocking_recv() {
                writer.write(&chunk)?;
            }
            Ok::<_, ImageError>(writer)
        });
        let ended = self.receive(blob, &mut answer, chunks, done, report).await;
        let writer = disk.await.map_err(|_| ImageError::Cancelled)??;
        Ok((writer, ended))
    }

    /// Hands the answer over to the disk, in batches: waking the other thread costs more than the copy.
    async fn receive(
        &self,
        blob: &Blob,
        answer: &mut registry::Answer,
        chunks: mpsc::Sender<Bytes>,
        mut done: u64,
        report: bool,
    ) -> Result<(), Failure> {
        let mut reported = done;
        let mut batch = BytesMut::with_capacity(CHUNK);
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    done = done.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                    batch.extend_from_slice(&chunk);
                }
                Ok(None) if done < blob.size => {
                    break Err(Failure::passing("the registry stopped early"));
                }
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
            // A closed channel: the disk's side has gone, and it knows why.
            if batch.len() >= CHUNK && chunks.send(batch.split().freeze()).await.is_err() {
                return Ok(());
            }
            if done.saturating_sub(reported) >= REPORT_EACH {
                reported = done;
                self.report(report, blob, done.min(blob.size));
            }
        };
        // What came before a cut counts as well.
        let _ = chunks.send(batch.freeze()).await;
        ended
    }
}
