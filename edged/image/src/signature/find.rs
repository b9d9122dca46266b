//! Fetching the signatures of an image from its registry, into memory alone.

use edged_model::Digest;
use edged_signature::{Signed, Statement, layers, tag};

use crate::document::Blob;
use crate::pull::{Asked, Failure, Pull, Retry};
use crate::store::{Judged, Testimony, digest_of};
use crate::{ImageError, Refusal};

impl Pull<'_> {
    /// Whether the policy takes the image of this chain of digests, and by whose signature. Nothing was stored so far.
    pub(crate) async fn trusted(&self, chain: &[Digest]) -> Result<Option<Judged>, ImageError> {
        let trust = self.store.trust();
        let needed = trust.needed(self.reference);
        let Some(signatures) = needed.map_err(|reason| self.refused(reason))? else {
            return Ok(None);
        };
        let mut statements = Vec::new();
        for digest in chain {
            statements.extend(self.statements(digest).await?);
        }
        let judged = trust.judge(&signatures, Some(self.reference), chain, &statements);
        let accepted = judged.map_err(|reason| self.refused(reason))?;
        let testimony = Testimony::of(chain, &statements).map_err(|reason| self.refused(reason))?;
        Ok(Some(Judged {
            accepted,
            testimony,
        }))
    }

    /// What lies under the tag of a digest's signatures.
    async fn statements(&self, digest: &Digest) -> Result<Vec<Statement>, ImageError> {
        let asked = Asked::Tag(tag(digest));
        let (bytes, _, named) = match self.manifest(&asked).await {
            Ok(served) => served,
            Err(ImageError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let refused = |reason| self.refused(reason);
        asked
            .check(&digest_of(&bytes), bytes.len(), named)
            .map_err(refused)?;
        let signed = layers(&bytes).map_err(|reason| refused(reason.into()))?;
        let mut statements = Vec::with_capacity(signed.len());
        for Signed {
            digest,
            size,
            signature,
        } in signed
        {
            let payload = self.payload(&Blob { digest, size }).await?;
            statements.push(Statement { payload, signature });
        }
        Ok(statements)
    }

    /// A payload, whose size was bounded by [`layers`].
    async fn payload(&self, blob: &Blob) -> Result<Vec<u8>, ImageError> {
        let mut retry = Retry::new(self.patience);
        loop {
            match self.small(blob).await {
                Ok(bytes) => {
                    let found = digest_of(&bytes);
                    if found == blob.digest {
                        return Ok(bytes);
                    }
                    let expected = blob.digest.clone();
                    return Err(self.refused(Refusal::WrongDigest { expected, found }));
                }
                Err(Failure::Passing(reason)) => {
                    self.again(&mut retry, "signature", 0, reason).await?;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn small(&self, blob: &Blob) -> Result<Vec<u8>, Failure> {
        let mut answer = self.registry.blob(self.reference, blob, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if found > blob.size {
                let (digest, described) = (blob.digest.clone(), blob.size);
                let reason = Refusal::WrongSize {
                    digest,
                    described,
                    found,
                };
                return Err(self.refused(reason).into());
            }
        }
        if u64::try_from(bytes.len()).ok() == Some(blob.size) {
            Ok(bytes)
        } else {
            Err(Failure::passing("the registry stopped early"))
        }
    }
}
