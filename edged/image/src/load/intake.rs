//! Taking the files of an archive in any order, and making images of them at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use edged_model::{Digest, ImageReference};
use edged_signature::{SIGNATURES_MAX, Statement};
use oci_spec::image::{
    Descriptor, ImageConfiguration, ImageIndex, ImageManifest, ImageManifestBuilder, MediaType,
};
use serde::Deserialize;

use super::archive::{SUBJECT, failed};
use super::naming;
use crate::document::{Blob, DOCUMENT_MAX, Document, INDEX_DEPTH_MAX, INDEX_ENTRIES_MAX, json};
use crate::store::{BlobWriter, CHUNK, Judged, Testimony};
use crate::{Architecture, ContentStore, Image, ImageError, LayerMediaType, Origin, Pin, Refusal};

/// The most images and names of images that an archive gives: what is remembered of one may be a document's 4 MiB.
const IMAGES_MAX: usize = 32;
/// The most signatures: each brings a payload of up to 16 KiB.
const STATEMENTS_MAX: usize = IMAGES_MAX * SIGNATURES_MAX;

/// What an archive has shown so far.
pub(super) struct Intake {
    store: ContentStore,
    /// Blobs by the name of their entry.
    files: BTreeMap<String, Taken>,
    /// Other names of entries.
    links: BTreeMap<String, String>,
    index: Option<Vec<u8>>,
    manifests: Option<Vec<u8>>,
}

/// A blob that is in the store.
struct Taken {
    pin: Pin,
    size: u64,
    media_type: LayerMediaType,
}

/// An image of the archive.
struct Found {
    /// From what the archive's index lists down to the manifest.
    chain: Vec<Digest>,
    manifest: Digest,
    names: Vec<ImageReference>,
}

/// What an archive holds.
#[derive(Default)]
struct Content {
    images: Vec<Found>,
    /// Whatever is signed in it; which image a signature is of, its payload says.
    statements: Vec<Statement>,
}

/// An entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Intake {
    pub(super) fn new(store: ContentStore) -> Self {
        Self {
            store,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            index: None,
            manifests: None,
        }
    }

    /// Takes a regular file.
    pub(super) fn file(&mut self, name: &str, content: &mut impl Read) -> Result<(), ImageError> {
        match name {
            "index.json" => self.index = Some(document("index", content)?),
            "manifest.json" => self.manifests = Some(document("manifest.json", content)?),
            _ => match naming::blob(name) {
                naming::Name::Blob(expected) => self.blob(name, Some(expected), content)?,
                naming::Name::Unhashed => self.blob(name, None, content)?,
                naming::Name::Other => {}
            },
        }
        Ok(())
    }

    /// Takes a link between entries.
    pub(super) fn link(&mut self, name: &str, target: &[u8]) {
        let target = String::from_utf8_lossy(target);
        if let Some(target) = naming::beside(name, &target) {
            self.links.insert(name.to_owned(), target);
        }
    }

    fn blob(
        &mut self,
        name: &str,
        expected: Option<Digest>,
        content: &mut impl Read,
    ) -> Result<(), ImageError> {
        let mut writer = BlobWriter::spool(&self.store, SUBJECT)?;
        let mut buffer = vec![0; CHUNK];
        let mut media_type = None;
        loop {
            let count = content.read(&mut buffer).map_err(|error| failed(&error))?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            media_type.get_or_insert_with(|| packed_as(chunk));
            writer.write(chunk)?;
        }
        // Checked before it gets its name in the store, where the wrong digest would be a blob like any other.
        if let Some(expected) = expected {
            writer.expect(&expected)?;
        }
        let (pin, size) = writer.finish()?;
        let media_type = media_type.unwrap_or(LayerMediaType::Tar);
        self.files.insert(
            name.to_owned(),
            Taken {
                pin,
                size,
                media_type,
            },
        );
        Ok(())
    }

    /// Makes the one image and records it under this name alone. Who gives the name vouches for the image.
    pub(super) fn finish_as(self, name: &ImageReference) -> Result<Image, ImageError> {
        let mut pins = Vec::new();
        let found = self.content(Some(name), &mut pins)?.images;
        let [image] = found.as_slice() else {
            return Err(ImageError::refused(SUBJECT, Refusal::Several(found.len())));
        };
        let image = self.store.read_image(name, &image.manifest)?;
        let (name, manifest) = (&image.reference, &image.manifest);
        self.store.record(name, manifest, Origin::Package, None)?;
        Ok(image)
    }

    /// Makes and records the images, where the policy takes each of them.
    pub(super) fn finish(self, name: Option<&ImageReference>) -> Result<Vec<Image>, ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        let needed = self.store.trust().needed_locally().map_err(refused)?;
        let mut pins = Vec::new();
        let Content { images, statements } = self.content(name, &mut pins)?;
        let single = images.len() == 1;
        let mut taken: Vec<(Image, Option<Judged>)> = Vec::new();
        for mut found in images {
            if found.names.is_empty() {
                let name = name
                    .filter(|_| single)
                    .ok_or_else(|| refused(Refusal::Nameless(found.manifest.clone())))?;
                found.names.push(name.clone());
            }
            for name in found.names {
                naming::free(&name, &found.chain)
                    .map_err(|reason| ImageError::refused(&name, reason))?;
                if taken.len() >= IMAGES_MAX {
                    return Err(refused(Refusal::TooManyImages(IMAGES_MAX)));
                }
                let image = self.store.read_image(&name, &found.manifest)?;
                let judge = |signatures| {
                    let (trust, chain) = (self.store.trust(), &found.chain);
                    let judged = trust.judge(signatures, None, chain, &statements);
                    let judged = judged.and_then(|accepted| {
                        let testimony = Testimony::of(chain, &statements)?;
                        Ok(Judged {
                            accepted,
                            testimony,
                        })
                    });
                    judged.map_err(|reason| ImageError::refused(&name, reason))
                };
                let judged = needed.as_ref().map(judge).transpose()?;
                taken.push((image, judged));
            }
        }
        // Recorded last: what is wrong with one of them refuses all.
        for (image, judged) in &taken {
            let (name, manifest) = (&image.reference, &image.manifest);
            let judged = judged.as_ref();
            self.store.record(name, manifest, Origin::Archive, judged)?;
        }
        Ok(taken.into_iter().map(|(image, _)| image).collect())
    }

    /// The images of the archive and their names, where they have any; what is made for them is pinned into `pins`.
    fn content(
        &self,
        name: Option<&ImageReference>,
        pins: &mut Vec<Pin>,
    ) -> Result<Content, ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        Ok(match (&self.index, &self.manifests) {
            (None, None) => return Err(refused(Refusal::NoArchiveIndex)),
            (Some(index), manifests) => {
                let index: ImageIndex = json("index", index).map_err(refused)?;
                let found = self.read_index(&index)?;
                match manifests {
                    // Older tools name their images in manifest.json alone.
                    Some(manifests)
                        if found.images.iter().any(|image| image.names.is_empty())
                            && name.is_none() =>
                    {
                        self.read_saved(manifests, pins)?
                    }
                    _ => found,
                }
            }
            (None, Some(manifests)) => self.read_saved(manifests, pins)?,
        })
    }

    /// The images of an OCI layout, with the names that it gives them, and its signatures.
    fn read_index(&self, index: &ImageIndex) -> Result<Content, ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        let count = index.manifests().len();
        if count > INDEX_ENTRIES_MAX {
            return Err(refused(Refusal::IndexTooLong {
                count,
                limit: INDEX_ENTRIES_MAX,
            }));
        }
        let mut content = Content::default();
        let mut heard = BTreeSet::new();
        for entry in index.manifests() {
            let (chain, digest, manifest) = self.descend(entry)?;
            if is_of_signatures(&manifest) {
                if heard.insert(digest.clone()) {
                    content.statements.extend(self.statements(&digest)?);
                }
                if content.statements.len() > STATEMENTS_MAX {
                    return Err(refused(Refusal::TooManySignatures(STATEMENTS_MAX)));
                }
                continue;
            }
            if content.images.len() >= IMAGES_MAX {
                return Err(refused(Refusal::TooManyImages(IMAGES_MAX)));
            }
            content.images.push(Found {
                chain,
                manifest: digest,
                names: naming::annotated(entry).map_err(refused)?,
            });
        }
        Ok(content)
    }

    /// The signatures that a manifest of the archive lists.
    fn statements(&self, manifest: &Digest) -> Result<Vec<Statement>, ImageError> {
        let refused =
            |reason: edged_signature::Refusal| ImageError::refused(SUBJECT, reason.into());
        let signed = edged_signature::layers(&self.store.read_document(manifest)?);
        let read = |signed: edged_signature::Signed| {
            let payload = self.store.read_document(&signed.digest)?;
            if payload.len() > edged_signature::PAYLOAD_MAX {
                let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
                return Err(refused(edged_signature::Refusal::PayloadSize(size)));
            }
            Ok(Statement {
                payload,
                signature: signed.signature,
            })
        };
        signed.map_err(refused)?.into_iter().map(read).collect()
    }

    /// From an entry of the archive's index down to a manifest.
    fn descend(
        &self,
        entry: &Descriptor,
    ) -> Result<(Vec<Digest>, Digest, Box<ImageManifest>), ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        let mut chain = Vec::new();
        let mut entry = entry.clone();
        for _ in 0..=INDEX_DEPTH_MAX {
            let blob = Blob::document(&entry, "manifest").map_err(refused)?;
            let name = format!("blobs/sha256/{}", blob.digest.hex());
            let taken = self.taken(&name)?;
            if taken.size != blob.size {
                let (digest, described) = (blob.digest, blob.size);
                return Err(refused(Refusal::WrongSize {
                    digest,
                    described,
                    found: taken.size,
                }));
            }
            let bytes = self.store.read_document(&blob.digest)?;
            chain.push(blob.digest.clone());
            let announced = entry.media_type().to_string();
            match Document::parse(&bytes, Some(&announced)).map_err(refused)? {
                Document::Manifest(manifest) => {
                    // All of it must be in the archive: what happens to be in the store is not pinned by this load.
                    for needed in manifest.layers().iter().chain([manifest.config()]) {
                        let needed = Blob::described(needed).map_err(refused)?;
                        self.taken(&format!("blobs/sha256/{}", needed.digest.hex()))?;
                    }
                    return Ok((chain, blob.digest, manifest));
                }
                Document::Index(index) => {
                    entry = Architecture::host()
                        .choose(&index)
                        .map_err(refused)?
                        .clone();
                }
            }
        }
        Err(refused(Refusal::IndexTooDeep(INDEX_DEPTH_MAX)))
    }

    /// The images of a `docker save`, each with a manifest that we write for it and pin into `pins`.
    fn read_saved(&self, manifests: &[u8], pins: &mut Vec<Pin>) -> Result<Content, ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        let saved: Vec<Saved> = json("manifest.json", manifests).map_err(refused)?;
        let tags = |image: &Saved| image.repo_tags.as_ref().map_or(0, Vec::len);
        if saved.len().max(saved.iter().map(tags).sum()) > IMAGES_MAX {
            return Err(refused(Refusal::TooManyImages(IMAGES_MAX)));
        }
        let mut content = Content::default();
        for image in saved {
            let names =
                naming::tagged(image.repo_tags.as_deref().unwrap_or_default()).map_err(refused)?;
            let pin = self.write_manifest(&image)?;
            content.images.push(Found {
                chain: vec![pin.digest().clone()],
                manifest: pin.digest().clone(),
                names,
            });
            pins.push(pin);
        }
        Ok(content)
    }

    fn write_manifest(&self, image: &Saved) -> Result<Pin, ImageError> {
        let refused = |reason| ImageError::refused(SUBJECT, reason);
        let syntax = |error: oci_spec::OciSpecError| {
            refused(Refusal::Syntax {
                document: "manifest.json",
                reason: error.to_string(),
            })
        };
        let config = self.taken(&image.config)?;
        // Parsed here for its own message; what it says is checked when the image is read back.
        let bytes = self.store.read_document(config.pin.digest())?;
        json::<ImageConfiguration>("configuration", &bytes).map_err(refused)?;
        let describe = |media_type: MediaType, taken: &Taken| {
            let digest: oci_spec::image::Digest =
                taken.pin.digest().as_str().parse().map_err(syntax)?;
            Ok::<_, ImageError>(Descriptor::new(media_type, taken.size, digest))
        };
        let mut layers = Vec::new();
        for name in &image.layers {
            let taken = self.taken(name)?;
            layers.push(describe(MediaType::from(taken.media_type.as_str()), taken)?);
        }
        let manifest: ImageManifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(describe(MediaType::ImageConfig, config)?)
            .layers(layers)
            .build()
            .map_err(syntax)?;
        let bytes = serde_json::to_vec(&manifest).map_err(|error| {
            refused(Refusal::Syntax {
                document: "manifest.json",
                reason: error.to_string(),
            })
        })?;
        self.store.write_document(SUBJECT, &bytes)
    }

    /// A file of the archive, by its name or through one link.
    fn taken(&self, name: &str) -> Result<&Taken, ImageError> {
        let through_link = || self.files.get(self.links.get(name)?);
        let short: String = name.chars().take(100).collect();
        let lacks = || ImageError::refused(SUBJECT, Refusal::ArchiveLacks(format!("{short:?}")));
        self.files.get(name).or_else(through_link).ok_or_else(lacks)
    }
}

/// Does a manifest list signatures of cosign's instead of layers?
fn is_of_signatures(manifest: &ImageManifest) -> bool {
    let mut layers = manifest.layers().iter();
    layers.any(|layer| layer.media_type().as_ref() == edged_signature::LAYER)
}

/// A small file, whole.
fn document(document: &'static str, content: &mut impl Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(DOCUMENT_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    content
        .take(bound)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() > DOCUMENT_MAX {
        return Err(ImageError::refused(
            SUBJECT,
            Refusal::DocumentTooLarge {
                document,
                limit: DOCUMENT_MAX,
            },
        ));
    }
    Ok(bytes)
}

/// How a layer is packed, by its first bytes (RFC 1952, RFC 8878).
fn packed_as(start: &[u8]) -> LayerMediaType {
    match start {
        [0x1f, 0x8b, ..] => LayerMediaType::TarGzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => LayerMediaType::TarZstd,
        _ => LayerMediaType::Tar,
    }
}
