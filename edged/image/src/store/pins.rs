//! Pins: what keeps a blob that nothing else reaches yet.

use edged_model::Digest;

use super::ContentStore;
use crate::Image;

/// Keeps one blob from the collector until it is dropped; a blob may be pinned often, and before it is there.
#[derive(Debug)]
#[must_use = "a pin that is dropped keeps nothing"]
pub struct Pin {
    store: ContentStore,
    digest: Digest,
}

impl ContentStore {
    /// Pins a blob. May wait for a collection that is at its decisive moment: milliseconds.
    pub fn pin(&self, digest: &Digest) -> Pin {
        *self.ledger().pins.entry(digest.clone()).or_default() += 1;
        Pin {
            store: self.clone(),
            digest: digest.clone(),
        }
    }

    /// Pins an image with all that it is made of.
    pub fn hold(&self, image: &Image) -> Vec<Pin> {
        let layers = image.layers.iter().map(|layer| &layer.digest);
        let blobs = [&image.manifest, &image.config].into_iter().chain(layers);
        blobs.map(|digest| self.pin(digest)).collect()
    }
}

impl Pin {
    /// What it keeps.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut ledger = self.store.ledger();
        if let Some(count) = ledger.pins.get_mut(&self.digest) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                ledger.pins.remove(&self.digest);
            }
        }
    }
}
