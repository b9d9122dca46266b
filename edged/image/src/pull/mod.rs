//! Pulling: from a reference to an image whose every blob is here, verified and durable.

mod download;
mod failure;
mod login;
mod registry;
mod retry;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use edged_model::{Digest, ImageReference, PACKAGE_REGISTRY};
use futures_util::{StreamExt, stream};
use oci_spec::image::ImageManifest;

use crate::document::{Blob, Document, INDEX_DEPTH_MAX};
use crate::store::{blocking, digest_of};
use crate::{Architecture, ContentStore, Image, ImageError, Origin, Pin, Refusal};
pub(crate) use failure::Failure;
pub(crate) use registry::Asked;
use registry::Registry;
pub use retry::Patience;
pub(crate) use retry::Retry;

/// Layers fetched at a time: one hides the other's round trips; more would only share the same line.
const LAYERS_AT_A_TIME: usize = 2;
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
pub(crate) struct Pull<'a> {
    pub(crate) store: &'a ContentStore,
    pub(crate) reference: &'a ImageReference,
    pub(crate) registry: Registry,
    pub(crate) patience: &'a Patience,
    progress: &'a (dyn Fn(PullEvent) + Send + Sync),
}

/// What a reference stands for on this machine.
struct Resolved {
    /// From what the reference names down to the manifest.
    chain: Vec<Digest>,
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Box<ImageManifest>,
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
    /// time; a digest that is here and that the policy of now takes needs no registry. `progress` is called often and must not block.
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
            && let Ok(image) = self.store.admitted(reference).await
        {
            progress(PullEvent::Done);
            return Ok(image);
        }
        if reference.registry() == PACKAGE_REGISTRY {
            return Err(ImageError::refused(reference, Refusal::OfPackages));
        }
        // A registry that nothing is taken from is not even asked.
        let needed = self.store.trust().needed(reference);
        needed.map_err(|reason| ImageError::refused(reference, reason))?;
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
        let Resolved {
            chain,
            digest,
            bytes,
            manifest,
        } = self.resolve().await?;
        // From here on everything is fetched by a digest of this chain: a tag that moves changes nothing.
        let judged = self.trusted(&chain).await?;
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
        self.layers(layers).await?;
        let (store, reference) = (self.store.clone(), self.reference.clone());
        blocking(move || store.record(&reference, &digest, Origin::Registry, judged.as_ref()))
            .await?;
        Ok(image)
    }

    /// Fetches all layers. A full disk begins no other layer and lets the one beside it end, whole or undone: broken
    /// off, its half would sit on the last free bytes. Any other failure breaks off at once, and what came is resumed.
    async fn layers(&self, layers: BTreeSet<Blob>) -> Result<(), ImageError> {
        let full = &AtomicBool::new(false);
        // Owned blobs: a future that borrows its item is not `Send` for every lifetime.
        let mut fetched = stream::iter(layers)
            .map(|blob| async move {
                if full.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.fetch(&blob, true).await
            })
            .buffer_unordered(LAYERS_AT_A_TIME);
        let mut failed = None;
        while let Some(result) = fetched.next().await {
            match result {
                Ok(()) => {}
                Err(error @ ImageError::Full(_)) => {
                    full.store(true, Ordering::Relaxed);
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(crate) fn refused(&self, reason: Refusal) -> ImageError {
        ImageError::refused(self.reference, reason)
    }

    /// The manifest for this machine, through at most [`INDEX_DEPTH_MAX`] indexes.
    async fn resolve(&self) -> Result<Resolved, ImageError> {
        let mut chain = Vec::new();
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
            chain.push(digest.clone());
            match Document::parse(&bytes, media_type.as_deref())
                .map_err(|reason| self.refused(reason))?
            {
                Document::Manifest(manifest) => {
                    return Ok(Resolved {
                        chain,
                        digest,
                        bytes,
                        manifest,
                    });
                }
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

    pub(crate) async fn manifest(&self, asked: &Asked) -> Result<registry::Served, ImageError> {
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
    pub(crate) async fn again(
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
}
