//! A bundle verified while it comes: nothing is trusted before [`Intake::finish`].

use sha2::{Digest, Sha256};

use super::{Here, MAGIC, MANIFEST_MAX, Manifest, SIGNATURE};
use crate::{Hash, Refusal};

/// Magic and length.
const BEGIN: usize = MAGIC.len() + 4;

/// A bundle that is coming.
///
/// A bundle that this box does not take is refused as soon as its manifest is there, so that nobody waits for, or makes
/// room for, megabytes that are thrown away.
#[derive(Debug)]
pub struct Intake {
    here: Here,
    head: Vec<u8>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    manifest: Manifest,
    /// Which part comes, how much of it is to come, and what came.
    next: usize,
    left: u64,
    hash: Sha256,
}

impl Intake {
    /// Before the first byte.
    pub fn new(here: Here) -> Self {
        Self {
            here,
            head: Vec::new(),
            body: None,
        }
    }

    /// The verified manifest, once it was there.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.body.as_ref().map(|body| &body.manifest)
    }

    /// Bytes of the whole bundle, once the manifest was there.
    pub fn length(&self) -> Option<u64> {
        let head = u64::try_from(self.head.len()).ok()?;
        Some(head.saturating_add(self.manifest()?.size()))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The bundle is not taken; the reason stands with the first wrong byte.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while self.body.is_none() {
            let wanted = self.head_length()?;
            if self.head.len() == wanted {
                self.read_head()?;
                break;
            }
            let more = bytes.len().min(wanted - self.head.len());
            if more == 0 {
                return Ok(());
            }
            let (now, later) = bytes.split_at(more);
            self.head.extend_from_slice(now);
            bytes = later;
        }
        match &mut self.body {
            Some(body) => body.push(bytes),
            None => Ok(()),
        }
    }

    /// At the end: the manifest of a bundle that is whole.
    ///
    /// # Errors
    /// It is cut off.
    pub fn finish(self) -> Result<Manifest, Refusal> {
        if self.body.is_none()
            && !MAGIC.starts_with(self.head.get(..MAGIC.len()).unwrap_or(&self.head))
        {
            return Err(Refusal::NotABundle);
        }
        match self.body {
            Some(body) if body.next == body.manifest.parts.len() => Ok(body.manifest),
            _ => Err(Refusal::CutOff),
        }
    }

    /// How long the head is as far as it can be known by now.
    fn head_length(&self) -> Result<usize, Refusal> {
        let Some((begin, rest)) = self.head.split_at_checked(BEGIN) else {
            return Ok(BEGIN);
        };
        let (magic, length) = begin.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Refusal::NotABundle);
        }
        let manifest = little_endian(length);
        if manifest > MANIFEST_MAX {
            return Err(Refusal::ManifestLength(manifest));
        }
        let Some(length) = rest.get(manifest..manifest + 2) else {
            return Ok(BEGIN + manifest + 2);
        };
        let signature = little_endian(length);
        if signature != SIGNATURE {
            return Err(Refusal::SignatureLength(signature));
        }
        Ok(BEGIN + manifest + 2 + SIGNATURE)
    }

    fn read_head(&mut self) -> Result<(), Refusal> {
        let end = self.head.len().saturating_sub(SIGNATURE);
        let (signed, signature) = self.head.split_at(end);
        let signed = signed.get(..end.saturating_sub(2)).unwrap_or_default();
        let json = signed.get(BEGIN..).unwrap_or_default();
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| Refusal::Manifest(error.to_string()))?;
        let key = manifest.succession.follow(&self.here.key, manifest.key)?;
        if !key.verifies(signed, signature) {
            return Err(Refusal::Signature(manifest.key));
        }
        manifest.fits(&self.here)?;
        let mut body = Body {
            left: manifest.parts.first().map_or(0, |part| part.size),
            next: 0,
            hash: Sha256::new(),
            manifest,
        };
        body.push(&[])?;
        self.body = Some(body);
        Ok(())
    }
}

impl Body {
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        loop {
            let Some(part) = self.manifest.parts.get(self.next) else {
                return if bytes.is_empty() {
                    Ok(())
                } else {
                    Err(Refusal::Trailing)
                };
            };
            let now = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (mine, rest) = bytes.split_at(now);
            self.hash.update(mine);
            self.left -= u64::try_from(now).unwrap_or(self.left);
            bytes = rest;
            if self.left > 0 {
                return Ok(());
            }
            let found: [u8; 32] = self.hash.finalize_reset().into();
            if Hash::from(found) != part.sha256 {
                return Err(Refusal::Part(part.name));
            }
            self.next += 1;
            self.left = self
                .manifest
                .parts
                .get(self.next)
                .map_or(0, |part| part.size);
        }
    }
}

/// A number of up to four bytes.
fn little_endian(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}
