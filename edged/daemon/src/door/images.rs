//! Images: fetched, taken from archives, listed, forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use edged_console::{ErrorKind, ImageView, PlatformError, Progress, Step};
use edged_image::{Image, ImageError, PullEvent};
use edged_model::{AppName, Bytes, Digest, ImageReference};
use edged_protocol::worker::Command;
use tokio::io::AsyncRead;

use super::{Door, error};
use crate::reconcile::{Mailbox, Means, Message};
use crate::snapshot::Reader;

impl Door {
    /// Fetches an image, telling how far it is.
    pub(super) async fn fetch(
        &self,
        reference: &ImageReference,
        progress: &Progress,
    ) -> Result<Image, PlatformError> {
        let tell = |event: PullEvent| match event {
            PullEvent::Resolving => {
                progress.say(format!("asking {} for {reference}", reference.registry()));
            }
            PullEvent::Layer {
                digest,
                done,
                total,
            } => progress.tell(Step {
                step: format!("pulling layer {}", digest.short()),
                done: Some(Bytes(done)),
                total: Some(Bytes(total)),
            }),
            PullEvent::Done => progress.say("unpacking"),
        };
        let pulled = self.puller.pull(reference, &tell).await;
        tidy_after(
            &self.means,
            &self.mailbox,
            &self.reader,
            pulled.as_ref().err(),
        );
        pulled.map_err(|error| error::image(&error))
    }

    pub(super) async fn take_archive(
        &self,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<Vec<ImageView>, PlatformError> {
        progress.say("reading the archive");
        let loaded = edged_image::load(&self.means.images, input, None).await;
        // What an archive holds beside its images, and all of one that was refused.
        let which = if loaded.is_ok() {
            Unneeded::Old
        } else {
            Unneeded::All
        };
        tidy_soon(&self.means, &self.mailbox, &self.reader, which);
        let images = loaded.map_err(|error| error::image(&error))?;
        Ok(images.iter().map(|image| self.image_view(image)).collect())
    }

    /// An image and who uses it.
    pub(super) fn image_view(&self, image: &Image) -> ImageView {
        let now = self.now();
        let uses = |manifest: &Digest| -> Vec<AppName> {
            let users = now
                .instances
                .values()
                .filter(|status| status.instance.image.manifest == *manifest);
            users
                .map(|status| status.instance.spec.name.clone())
                .collect()
        };
        ImageView {
            references: vec![image.reference.clone()],
            manifest: image.manifest.clone(),
            size: Bytes(image.size),
            layers: u32::try_from(image.layers.len()).unwrap_or(u32::MAX),
            created: image.created.as_deref().and_then(unix_seconds),
            used_by: uses(&image.manifest),
            signed_by: self
                .means
                .images
                .voucher(&image.reference)
                .map(|voucher| voucher.key),
        }
    }

    pub(super) async fn image_views(&self) -> Result<Vec<ImageView>, PlatformError> {
        let mut views: Vec<ImageView> = Vec::new();
        for image in self
            .means
            .images
            .images()
            .await
            .map_err(|error| error::image(&error))?
        {
            let view = self.image_view(&image);
            // A row for what was signed and one for what was not: to run a name is judged by how that name came.
            let same = |other: &&mut ImageView| {
                (&other.manifest, &other.signed_by) == (&view.manifest, &view.signed_by)
            };
            match views.iter_mut().find(same) {
                Some(row) => row.references.push(image.reference),
                None => views.push(view),
            }
        }
        Ok(views)
    }

    /// Forgets a reference, then whatever of the store nothing reaches any more.
    pub(super) async fn forget_image(
        &self,
        reference: &ImageReference,
    ) -> Result<(), PlatformError> {
        let now = self.now();
        let Some(manifest) = self.means.images.resolve(reference) else {
            let message = format!("there is no image {reference}");
            return Err(PlatformError::new(ErrorKind::NotFound, message)
                .with_hint("`images` lists what is here"));
        };
        let user = now
            .instances
            .values()
            .find(|status| status.instance.image.manifest == manifest);
        if let Some(user) = user {
            let name = &user.instance.spec.name;
            let message = format!("image {reference} is used by {name}");
            return Err(PlatformError::new(ErrorKind::Conflict, message)
                .with_hint(format!("`rm {name}` first")));
        }
        if let Some(package) = self.packages.user_of_image(reference) {
            let message = format!("image {reference} belongs to package {}", package.id);
            return Err(PlatformError::new(ErrorKind::Conflict, message)
                .with_hint(format!("`package rm {}` removes both", package.id)));
        }
        forget(&self.means, &self.mailbox, &self.reader, reference).await
    }
}

/// Forgets a reference, then whatever of the store and of the unpacked layers nothing reaches any more.
pub async fn forget(
    means: &Means,
    mailbox: &Mailbox,
    reader: &Reader,
    reference: &ImageReference,
) -> Result<(), PlatformError> {
    let removed = means.images.remove(reference).await;
    removed.map_err(|error| error::image(&error))?;
    tidy(means, mailbox, reader, Unneeded::All).await
}

/// What goes of what nothing reaches.
#[derive(Debug, Clone, Copy)]
enum Unneeded {
    /// All of it: somebody made room, or needs it.
    All,
    /// What is older than a day: a pull that broke off goes on from what came.
    Old,
}

/// After an image came, or did not for this reason.
pub fn tidy_after(means: &Means, mailbox: &Mailbox, reader: &Reader, error: Option<&ImageError>) {
    let which = match error {
        // A name that moved on leaves its old image behind.
        None => Unneeded::Old,
        Some(ImageError::Full(_)) => Unneeded::All,
        // What came of it is where the next pull goes on.
        Some(_) => return,
    };
    tidy_soon(means, mailbox, reader, which);
}

/// As [`tidy`], for nobody who waits.
fn tidy_soon(means: &Means, mailbox: &Mailbox, reader: &Reader, which: Unneeded) {
    let (means, mailbox, reader) = (means.clone(), mailbox.clone(), reader.clone());
    tokio::spawn(async move {
        if let Err(error) = tidy(&means, &mailbox, &reader, which).await {
            tracing::warn!(%error, "what no image needs is still on the disk");
        }
    });
}

/// Removes whatever of the store and of the unpacked layers no image and no instance reaches.
async fn tidy(
    means: &Means,
    mailbox: &Mailbox,
    reader: &Reader,
    which: Unneeded,
) -> Result<(), PlatformError> {
    let failed = |error| error::image(&error);
    let now = Arc::clone(&reader.borrow());
    let instances = now.instances.values();
    let keep: Vec<Digest> = instances
        .map(|status| status.instance.image.manifest.clone())
        .collect();
    let collected = match which {
        Unneeded::All => means.images.gc(&keep).await,
        Unneeded::Old => means.images.gc_old(&keep).await,
    };
    collected.map_err(failed)?;
    let images = means.images.images().await.map_err(failed)?;
    let layers = images.into_iter().flat_map(|image| image.layers);
    let mut needed: BTreeSet<Digest> = layers.map(|layer| layer.diff_id).collect();
    let now = Arc::clone(&reader.borrow());
    for status in now.instances.values() {
        needed.extend(status.instance.image.layers.iter().cloned());
    }
    let mut all = Ok(());
    for diff_id in means.worker.observe().await?.layers {
        if needed.contains(&diff_id) {
            continue;
        }
        let order = Command::RemoveLayer {
            diff_id: diff_id.clone(),
        };
        match means.worker.order(order).await {
            // A reconciler that has ended needs no news.
            Ok(()) => drop(mailbox.send(Message::LayerGone(diff_id)).await),
            // The others go all the same.
            Err(error) => all = Err(error.into()),
        }
    }
    all
}

fn unix_seconds(text: &str) -> Option<u64> {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, format).ok()?;
    u64::try_from(at.unix_timestamp()).ok()
}
