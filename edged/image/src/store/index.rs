//! `index.json`: which reference points at which manifest. Small, held in memory, replaced whole on each change.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use edged_model::{Digest, ImageReference};
use oci_spec::image::{Descriptor, ImageIndex, MediaType, SCHEMA_VERSION};

use super::spare::Spare;
use super::{FILE_MODE, sync_folder};
use crate::ImageError;
use crate::document::Blob;

/// The annotation that names an image in a layout (image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Our annotation with the name of the key whose signature was enough.
const SIGNED_BY: &str = "edged.signed.by";
/// Our annotation with the digest that was signed: the manifest's, or that of an index which lists it.
const SIGNED_DIGEST: &str = "edged.signed.digest";
/// Our annotation with the digest of the document that keeps what was said for it.
const SIGNED_TESTIMONY: &str = "edged.signed.testimony";
/// Our annotation that says how it came.
const ORIGIN: &str = "edged.origin";
/// The file.
const NAME: &str = "index.json";
/// What the file `oci-layout` of a layout says.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Who vouched for an image when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// The name of the key, as it was then.
    pub key: String,
    /// What it signed: the manifest, or an index which lists it.
    pub digest: Digest,
    /// The document that keeps all that was said for it; absent where it came before that was kept.
    pub testimony: Option<Digest>,
}

/// How an image came, which decides what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Pulled: the rules for its repository.
    Registry,
    /// Loaded: the rule for archives.
    Archive,
    /// Inside a package, whose signer vouches for it.
    Package,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Registry, Self::Archive, Self::Package];

    fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Archive => "archive",
            Self::Package => "package",
        }
    }
}

/// What a reference points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manifest: Blob,
    /// Absent: it came before that was kept.
    pub(super) origin: Option<Origin>,
    /// Absent: the policy asked for no signature.
    pub(super) voucher: Option<Voucher>,
}

#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
    manifests: BTreeMap<ImageReference, Entry>,
}

impl Index {
    pub(super) fn open(folder: &Path) -> Result<Self, ImageError> {
        replace(folder, "oci-layout", LAYOUT)?;
        let path = folder.join(NAME);
        let manifests = match fs::read(&path) {
            Ok(bytes) => {
                parse(&bytes).map_err(|reason| ImageError::IndexCorrupt { path, reason })?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(ImageError::file("read", &path)(error)),
        };
        Ok(Self {
            folder: folder.to_owned(),
            manifests,
        })
    }

    pub(super) fn get(&self, reference: &ImageReference) -> Option<&Digest> {
        self.manifests
            .get(reference)
            .map(|entry| &entry.manifest.digest)
    }

    pub(super) fn entry(&self, reference: &ImageReference) -> Option<&Entry> {
        self.manifests.get(reference)
    }

    /// The documents that keep what was said for images.
    pub(super) fn testimonies(&self) -> impl Iterator<Item = &Digest> {
        let vouchers = self
            .manifests
            .values()
            .filter_map(|entry| entry.voucher.as_ref());
        vouchers.filter_map(|voucher| voucher.testimony.as_ref())
    }

    pub(super) fn voucher(&self, reference: &ImageReference) -> Option<&Voucher> {
        self.manifests.get(reference)?.voucher.as_ref()
    }

    pub(super) fn entries(&self) -> Vec<(ImageReference, Digest)> {
        self.manifests
            .iter()
            .map(|(reference, entry)| (reference.clone(), entry.manifest.digest.clone()))
            .collect()
    }

    /// Memory follows the disk: what failed to be written did not happen.
    pub(super) fn insert(
        &mut self,
        reference: &ImageReference,
        entry: Entry,
    ) -> Result<(), ImageError> {
        if self.manifests.get(reference) == Some(&entry) {
            return Ok(());
        }
        let mut next = self.manifests.clone();
        next.insert(reference.clone(), entry);
        let bytes = self.render(&next)?;
        // Whoever fills the disk with images has to be able to remove them.
        self.spare().keep(bytes.len())?;
        replace(&self.folder, NAME, &bytes)?;
        self.manifests = next;
        Ok(())
    }

    pub(super) fn remove(&mut self, reference: &ImageReference) -> Result<bool, ImageError> {
        let mut next = self.manifests.clone();
        if next.remove(reference).is_none() {
            return Ok(false);
        }
        let bytes = self.render(&next)?;
        match replace(&self.folder, NAME, &bytes) {
            Err(ImageError::Full(_)) => self.spare().spend(NAME, &bytes)?,
            done => done?,
        }
        self.manifests = next;
        Ok(true)
    }

    fn spare(&self) -> Spare<'_> {
        Spare(&self.folder)
    }

    fn render(&self, next: &BTreeMap<ImageReference, Entry>) -> Result<Vec<u8>, ImageError> {
        render(next).map_err(|reason| ImageError::IndexCorrupt {
            path: self.folder.join(NAME),
            reason,
        })
    }
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<ImageReference, Entry>, String> {
    let index: ImageIndex = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entry = |descriptor: &Descriptor| {
        let annotation = |key| descriptor.annotations().as_ref()?.get(key);
        let name = annotation(REF_NAME).ok_or("an entry has no name")?;
        let reference = name.parse().map_err(|error| format!("{error}"))?;
        let voucher = match (annotation(SIGNED_BY), annotation(SIGNED_DIGEST)) {
            (Some(key), Some(digest)) => Some(Voucher {
                key: key.clone(),
                digest: digest.parse().map_err(|error| format!("{error}"))?,
                testimony: annotation(SIGNED_TESTIMONY).and_then(|digest| digest.parse().ok()),
            }),
            _ => None,
        };
        let origin = annotation(ORIGIN).and_then(|text| {
            let mut all = Origin::ALL.into_iter();
            all.find(|origin| origin.as_str() == text)
        });
        let manifest = Blob::described(descriptor).map_err(|error| error.to_string())?;
        let entry = Entry {
            manifest,
            origin,
            voucher,
        };
        Ok((reference, entry))
    };
    index.manifests().iter().map(entry).collect()
}

fn render(manifests: &BTreeMap<ImageReference, Entry>) -> Result<Vec<u8>, String> {
    let mut index = ImageIndex::default();
    index
        .set_schema_version(SCHEMA_VERSION)
        .set_media_type(Some(MediaType::ImageIndex));
    let mut descriptors = Vec::with_capacity(manifests.len());
    for (reference, entry) in manifests {
        let digest: oci_spec::image::Digest = entry
            .manifest
            .digest
            .as_str()
            .parse()
            .map_err(|error: oci_spec::OciSpecError| error.to_string())?;
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, entry.manifest.size, digest);
        let mut annotations = HashMap::from([(REF_NAME.to_owned(), reference.to_string())]);
        if let Some(voucher) = &entry.voucher {
            annotations.insert(SIGNED_BY.to_owned(), voucher.key.clone());
            annotations.insert(SIGNED_DIGEST.to_owned(), voucher.digest.to_string());
            if let Some(testimony) = &voucher.testimony {
                annotations.insert(SIGNED_TESTIMONY.to_owned(), testimony.to_string());
            }
        }
        if let Some(origin) = entry.origin {
            annotations.insert(ORIGIN.to_owned(), origin.as_str().to_owned());
        }
        descriptor.set_annotations(Some(annotations));
        descriptors.push(descriptor);
    }
    index.set_manifests(descriptors);
    serde_json::to_vec_pretty(&index).map_err(|error| error.to_string())
}

/// Replaces a file so that a crash leaves the old one or the new one (rename(2) after fsync(2), then the folder).
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let next = folder.join(format!("{name}.next"));
    let written = File::create(&next).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.sync_all()
    });
    if let Err(error) = written {
        // Half a file would sit on the last free bytes.
        let _ = fs::remove_file(&next);
        return Err(ImageError::file("write", &next)(error));
    }
    fs::rename(&next, &path).map_err(ImageError::file("replace", &path))?;
    sync_folder(folder)
}
