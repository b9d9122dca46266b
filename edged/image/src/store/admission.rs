//! Whether something new may be made of an image that is here. The verdict of the day it came counts for nothing: the
//! signatures that were kept with it are verified again, by the keys and the policy of now.

use edged_model::{Digest, ImageReference};
use edged_signature::Accepted;

use super::index::Entry;
use super::testimony::Testimony;
use super::{ContentStore, Origin, blocking};
use crate::{Image, ImageError, Refusal};

impl ContentStore {
    /// The image that a reference points at, if a new instance of it may be made now. The image of a package is vouched
    /// for by the package: whoever asks for one ([`ContentStore::origin`]) asks the package's signer as well.
    ///
    /// # Errors
    /// As [`ContentStore::image`], or the policy of now does not take it.
    pub async fn admitted(&self, reference: &ImageReference) -> Result<Image, ImageError> {
        let (store, reference) = (self.clone(), reference.clone());
        blocking(move || {
            let entry = store.ledger().index.entry(&reference).cloned();
            let entry = entry.ok_or_else(|| ImageError::NotStored(reference.clone()))?;
            let judged = store.judge_again(&reference, &entry);
            let accepted = judged.map_err(|reason| ImageError::refused(&reference, reason))?;
            // To run it is to take it: no older release comes after it.
            let release = accepted.and_then(|accepted| accepted.release);
            let subject = reference.to_string();
            store.trust().remember(&subject, release.as_ref())?;
            store.read_image(&reference, &entry.manifest.digest)
        })
        .await
    }

    /// Why no new instance of the image that something was pinned to would be made now; none where one would be. Blocks.
    pub fn objection(&self, reference: &ImageReference, manifest: &Digest) -> Option<Refusal> {
        let entry = self.ledger().index.entry(reference).cloned();
        match entry.filter(|entry| entry.manifest.digest == *manifest) {
            Some(entry) => self.judge_again(reference, &entry).err(),
            // The reference moved on, and what was kept of this image went with it.
            None => self.unless_open(reference).err(),
        }
    }

    fn judge_again(
        &self,
        reference: &ImageReference,
        entry: &Entry,
    ) -> Result<Option<Accepted>, Refusal> {
        let trust = self.trust();
        let (needed, place) = match entry.origin {
            Some(Origin::Package) => return Ok(None),
            Some(Origin::Registry) => (trust.needed(reference)?, Some(reference)),
            Some(Origin::Archive) => (trust.needed_locally()?, None),
            None => return self.unless_open(reference).map(|()| None),
        };
        let Some(signatures) = needed else {
            return Ok(None);
        };
        let voucher = entry.voucher.as_ref().ok_or(Refusal::NotKept)?;
        let kept = voucher.testimony.as_ref().ok_or(Refusal::NotKept)?;
        // A release that did not know of it may have let the collector have it.
        let bytes = self.read_document(kept).map_err(|_| Refusal::NotKept)?;
        let testimony: Testimony = serde_json::from_slice(&bytes).map_err(|_| Refusal::NotKept)?;
        let chain = testimony.chain.clone();
        if !chain.contains(&entry.manifest.digest) {
            return Err(Refusal::NotKept);
        }
        let judged = trust.judge(&signatures, place, &chain, &testimony.statements());
        judged.map(Some).map_err(|reason| match reason {
            // It did fit when it came, so it is the key that is another.
            Refusal::Trust(
                edged_signature::Refusal::WrongKey(_) | edged_signature::Refusal::NoKeys,
            ) => Refusal::KeyGone(voucher.key.clone()),
            reason => reason,
        })
    }

    /// Where nothing is known of how an image came, only a policy that asks for nothing takes it.
    fn unless_open(&self, reference: &ImageReference) -> Result<(), Refusal> {
        let trust = self.trust();
        match (trust.needed(reference)?, trust.needed_locally()?) {
            (None, None) => Ok(()),
            _ => Err(Refusal::NotKept),
        }
    }
}
