//! `index.json`: which reference points at which manifest. Small, held in memory, replaced whole on each change.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use edged_model::{Digest, ImageReference};
use oci_spec::image::{Descriptor, ImageIndex, MediaType, SCHEMA_VERSION};

use super::{FILE_MODE, sync_folder};
use crate::ImageError;
use crate::document::Blob;

/// The annotation that names an image in a layout (image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What the file `oci-layout` of a layout says.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
    manifests: BTreeMap<ImageReference, Blob>,
}

impl Index {
    pub(super) fn open(folder: &Path) -> Result<Self, ImageError> {
        replace(folder, "oci-layout", LAYOUT)?;
        let path = folder.join("index.json");
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
        self.manifests.get(reference).map(|blob| &blob.digest)
    }

    pub(super) fn entries(&self) -> Vec<(ImageReference, Digest)> {
        self.manifests
            .iter()
            .map(|(reference, blob)| (reference.clone(), blob.digest.clone()))
            .collect()
    }

    pub(super) fn insert(
        &mut self,
        reference: &ImageReference,
        manifest: Blob,
    ) -> Result<(), ImageError> {
        if self.manifests.get(reference) == Some(&manifest) {
            return Ok(());
        }
        let mut next = self.manifests.clone();
        next.insert(reference.clone(), manifest);
        self.commit(next)
    }

    pub(super) fn remove(&mut self, reference: &ImageReference) -> Result<bool, ImageError> {
        let mut next = self.manifests.clone();
        if next.remove(reference).is_none() {
            return Ok(false);
        }
        self.commit(next).map(|()| true)
    }

    /// Memory follows the disk: what failed to be written did not happen.
    fn commit(&mut self, next: BTreeMap<ImageReference, Blob>) -> Result<(), ImageError> {
        let path = self.folder.join("index.json");
        let corrupt = |reason: String| ImageError::IndexCorrupt {
            path: path.clone(),
            reason,
        };
        let bytes = render(&next).map_err(corrupt)?;
        replace(&self.folder, "index.json", &bytes)?;
        self.manifests = next;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<ImageReference, Blob>, String> {
    let index: ImageIndex = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entry = |descriptor: &Descriptor| {
        let names = descriptor.annotations().as_ref();
        let name = names
            .and_then(|names| names.get(REF_NAME))
            .ok_or("an entry has no name")?;
        let reference = name.parse().map_err(|error| format!("{error}"))?;
        Ok((
            reference,
            Blob::described(descriptor).map_err(|error| error.to_string())?,
        ))
    };
    index.manifests().iter().map(entry).collect()
}

fn render(manifests: &BTreeMap<ImageReference, Blob>) -> Result<Vec<u8>, String> {
    let mut index = ImageIndex::default();
    index
        .set_schema_version(SCHEMA_VERSION)
        .set_media_type(Some(MediaType::ImageIndex));
    let mut descriptors = Vec::with_capacity(manifests.len());
    for (reference, blob) in manifests {
        let digest: oci_spec::image::Digest = blob
            .digest
            .as_str()
            .parse()
            .map_err(|error: oci_spec::OciSpecError| error.to_string())?;
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, blob.size, digest);
        descriptor.set_annotations(Some([(REF_NAME.to_owned(), reference.to_string())].into()));
        descriptors.push(descriptor);
    }
    index.set_manifests(descriptors);
    serde_json::to_vec_pretty(&index).map_err(|error| error.to_string())
}

/// Replaces a file so that a crash leaves the old one or the new one (rename(2) after fsync(2), then the folder).
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let next = folder.join(format!("{name}.next"));
    File::create(&next)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            file.sync_all()
        })
        .map_err(ImageError::file("write", &next))?;
    fs::rename(&next, &path).map_err(ImageError::file("replace", &path))?;
    sync_folder(folder)
}
