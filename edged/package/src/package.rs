//! A package that somebody sent: opened, verified, read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::SystemTime;

use crate::appd::{AppDescriptor, ImageSource, Read as ReadDescriptor};
use crate::envelope::{Envelope, SIGNATURE_EXTENSIONS, certificates, hash_of, signature_der};
use crate::error::{PackageError, WHOLE};
use crate::hash::{Algorithm, Hash};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::meta::{self, Meta};
use crate::signature::{self, Signer};
use crate::trust::Trust;
use crate::zip::{self, Archive, Region, VerifiedReader};

/// Who promised the digest of a file that is read again.
const VERIFIED_BEFORE: &str = "what was verified before";

/// A verified application package.
#[derive(Debug)]
pub struct Package {
    archive: Archive,
    descriptor: AppDescriptor,
    image: ImageSource,
    signer: Option<Signer>,
    definitions: String,
    /// The digest of each file, as it was when the package was opened.
    files: BTreeMap<String, Hash>,
    metadata: BTreeMap<String, String>,
}

impl Package {
    /// Opens a package, verifies all of it and reads its descriptor. `now` is when certificates must be valid.
    ///
    /// The whole file is read, images in passing: call it where blocking is allowed. The file has to be the caller's own:
    /// nobody else writes to it.
    ///
    /// # Errors
    /// [`PackageError`], with the file and the field to blame.
    pub fn open(
        file: File,
        trust: &Trust,
        limits: &Limits,
        now: SystemTime,
    ) -> Result<Self, PackageError> {
        let region = Region::whole(file).map_err(|source| PackageError::read(WHOLE, source))?;
        let archive = Archive::open(region, limits)?;
        if archive.entry(meta::PATH).is_some() {
            return Self::read(archive, None, trust, limits, now);
        }
        match Envelope::find(&archive) {
            Some(envelope) => {
                let (inner, signer) = envelope.open(&archive, trust, limits, now)?;
                Self::read(
                    Archive::open(inner, limits)?,
                    Some(signer),
                    trust,
                    limits,
                    now,
                )
            }
            None => Err(PackageError::missing(meta::PATH, "every package")),
        }
    }

    fn read(
        archive: Archive,
        outer: Option<Signer>,
        trust: &Trust,
        limits: &Limits,
        now: SystemTime,
    ) -> Result<Self, PackageError> {
        let reader = Reader { archive, limits };
        let meta = Meta::parse(&reader.text(meta::PATH, "every package")?)?;
        let manifest_text = reader.text(&meta.manifest, meta::PATH)?;
        let manifest = Manifest::parse(&meta.manifest, &manifest_text)?;
        let companion = reader.companion(&manifest)?;
        let inner = reader.signer(
            &meta,
            &manifest,
            companion.as_ref(),
            &manifest_text,
            trust,
            now,
        )?;
        let signer = inner.or(outer);
        if signer.is_none() && !trust.takes_unsigned() {
            return Err(PackageError::signature(
                &meta.manifest,
                "the package is not signed; sign it, or let the operator accept unsigned packages",
            ));
        }
        let exempt: BTreeSet<&str> = [
            Some(meta.manifest.as_str()),
            companion.as_ref().map(|(name, _)| name.as_str()),
        ]
        .into_iter()
        .chain([meta.certificate.as_deref()])
        .flatten()
        .collect();
        // An envelope vouches for the whole CSAR: then, and only then, the manifest may leave digests out altogether.
        let optional = manifest.files.is_empty()
            && manifest.signature.is_none()
            && companion.is_none()
            && signer.is_some();
        let files = reader.verify_files(&manifest, &exempt, optional)?;
        for (name, file) in &meta.others {
            if reader.archive.entry(file).is_none() {
                return Err(PackageError::missing(
                    file,
                    &format!("{} of {}", name, meta::PATH),
                ));
            }
        }
        let read = ReadDescriptor::from_tosca(
            &meta.definitions,
            |name| reader.verified_text(name, &files),
            |name| reader.archive.entry(name).is_some(),
        )?;
        consistent(&manifest, &read)?;
        let image = reader.check_images(&read, &files)?;
        Ok(Self {
            archive: reader.archive,
            descriptor: read.descriptor,
            image,
            signer,
            definitions: meta.definitions,
            files,
            metadata: manifest.metadata,
        })
    }

    /// The application descriptor.
    pub fn descriptor(&self) -> &AppDescriptor {
        &self.descriptor
    }

    /// Who signed it; `None` only where the operator takes unsigned packages.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// Where the application's image is.
    pub fn image(&self) -> &ImageSource {
        &self.image
    }

    /// The image in the package, verified again while it is read; `None` when it is in a registry.
    ///
    /// # Errors
    /// [`PackageError`] when the file under the package was cut since it was opened.
    pub fn image_reader(&self) -> Result<Option<VerifiedReader>, PackageError> {
        match &self.image {
            ImageSource::Inside(path) => self.file(path),
            ImageSource::Registry(..) => Ok(None),
        }
    }

    /// The digest of the image in the package; `None` when it is in a registry.
    pub fn image_digest(&self) -> Option<&Hash> {
        match &self.image {
            ImageSource::Inside(path) => self.files.get(path),
            ImageSource::Registry(..) => None,
        }
    }

    /// The files of the package (`additionalArtifacts` of MEC 010-2 among them) and their digests.
    pub fn files(&self) -> &BTreeMap<String, Hash> {
        &self.files
    }

    /// A file of the package, verified again while it is read; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`image_reader`](Self::image_reader).
    pub fn file(&self, name: &str) -> Result<Option<VerifiedReader>, PackageError> {
        let (Some(entry), Some(hash)) = (self.archive.entry(name), self.files.get(name)) else {
            return Ok(None);
        };
        let reader = self.archive.reader(entry)?;
        Ok(Some(reader.expecting(hash.clone(), VERIFIED_BEFORE)))
    }

    /// The name of the file with the descriptor in TOSCA.
    pub fn definitions(&self) -> &str {
        &self.definitions
    }

    /// The manifest's `metadata:` block (MEC 037, 4.3).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

struct Reader<'a> {
    archive: Archive,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn text(&self, name: &str, needed_by: &str) -> Result<String, PackageError> {
        let entry = self
            .archive
            .entry(name)
            .ok_or_else(|| PackageError::missing(name, needed_by))?;
        self.archive.text(entry, self.limits)
    }

    /// The manifest's signature in a file beside it, where the manifest has none at its end.
    fn companion(&self, manifest: &Manifest) -> Result<Option<(String, Vec<u8>)>, PackageError> {
        let base = manifest
            .file
            .rsplit_once('.')
            .map_or(manifest.file.as_str(), |(base, _)| base);
        let found = SIGNATURE_EXTENSIONS
            .iter()
            .find_map(|extension| self.archive.entry(&format!("{base}{extension}")));
        let Some(entry) = found.filter(|_| manifest.signature.is_none()) else {
            return Ok(None);
        };
        let der = signature_der(&entry.name, self.archive.bytes(entry, self.limits)?)?;
        Ok(Some((entry.name.clone(), der)))
    }

    fn signer(
        &self,
        meta: &Meta,
        manifest: &Manifest,
        companion: Option<&(String, Vec<u8>)>,
        text: &str,
        trust: &Trust,
        now: SystemTime,
    ) -> Result<Option<Signer>, PackageError> {
        let beside = match &meta.certificate {
            Some(name) => certificates(name, &self.text(name, meta::PATH)?)?,
            None => Vec::new(),
        };
        let inside = manifest.signature.as_ref().map(|der| (&manifest.file, der));
        let Some((file, der)) = inside.or(companion.map(|(name, der)| (name, der))) else {
            return Ok(None);
        };
        let signed = text.as_bytes().get(..manifest.signed).unwrap_or_default();
        signature::verify(file, der, &beside, trust, now, |algorithm| {
            Ok(algorithm.of(signed))
        })
        .map(Some)
    }

    /// A text that was verified before, and is again; `None` when there is no such file.
    fn verified_text(
        &self,
        name: &str,
        files: &BTreeMap<String, Hash>,
    ) -> Result<Option<String>, PackageError> {
        let (Some(entry), Some(hash)) = (self.archive.entry(name), files.get(name)) else {
            return Ok(None);
        };
        PackageError::bound(name, "bytes", entry.size, self.limits.text)?;
        let reader = self.archive.reader(entry)?;
        let bytes = reader
            .expecting(hash.clone(), VERIFIED_BEFORE)
            .into_bytes()?;
        zip::text(name, bytes).map(Some)
    }

    /// Reads every file and compares it with its digest; gives the digests.
    fn verify_files(
        &self,
        manifest: &Manifest,
        exempt: &BTreeSet<&str>,
        optional: bool,
    ) -> Result<BTreeMap<String, Hash>, PackageError> {
        for name in manifest.files.keys() {
            if self.archive.entry(name).is_none() {
                return Err(PackageError::missing(name, &manifest.file));
            }
        }
        let names: Vec<&str> = self.archive.names().collect();
        let listed = |name: &str| manifest.files.contains_key(name) || exempt.contains(name);
        if let Some(name) = names.iter().find(|name| !optional && !listed(name)) {
            return Err(PackageError::Unlisted {
                file: (*name).to_owned(),
                manifest: manifest.file.clone(),
            });
        }
        let mut files = BTreeMap::new();
        for entry in names.iter().filter_map(|name| self.archive.entry(name)) {
            let reader = self.archive.reader(entry)?;
            let hash = match manifest.files.get(&entry.name) {
                Some(hash) => {
                    reader.expecting(hash.clone(), &manifest.file).finish()?;
                    hash.clone()
                }
                None => hash_of(reader, &entry.name, Algorithm::Sha256)?,
            };
            files.insert(entry.name.clone(), hash);
        }
        Ok(files)
    }

    /// Compares the descriptor's checksums; gives the first image, which is the application's where it has one.
    fn check_images(
        &self,
        read: &ReadDescriptor,
        files: &BTreeMap<String, Hash>,
    ) -> Result<ImageSource, PackageError> {
        for image in &read.images {
            let (ImageSource::Inside(path), Some(expected)) = (&image.source, &image.checksum)
            else {
                continue;
            };
            let known = files
                .get(path)
                .filter(|hash| hash.algorithm == expected.algorithm);
            let found = match (known, self.archive.entry(path)) {
                (Some(hash), _) => hash.clone(),
                (None, Some(entry)) => {
                    hash_of(self.archive.reader(entry)?, path, expected.algorithm)?
                }
                (None, None) => return Err(PackageError::missing(path, &image.named_by)),
            };
            if found != *expected {
                return Err(PackageError::Digest {
                    file: path.clone(),
                    promised_by: image.named_by.clone(),
                    algorithm: expected.algorithm,
                    expected: expected.hex.clone(),
                    found: found.hex,
                });
            }
        }
        read.images
            .first()
            .map(|image| image.source.clone())
            .ok_or_else(|| PackageError::missing("an image", &read.file))
    }
}

/// The manifest and the descriptor say the same (MEC 037, 4.3).
fn consistent(manifest: &Manifest, read: &ReadDescriptor) -> Result<(), PackageError> {
    let descriptor = &read.descriptor;
    let compare = |name: &str, value: &str, own: &str| {
        if value == own {
            return Ok(());
        }
        Err(PackageError::field_of(
            &manifest.file,
            name,
            format!(
                "this is {value:?}, but {} says {own:?}; make them the same",
                read.file
            ),
        ))
    };
    for (name, own) in [
        ("vnfd_id", &descriptor.app_d_id),
        ("vnf_provider_id", &descriptor.app_provider),
        ("vnf_product_name", &descriptor.app_name),
        ("vnf_software_version", &descriptor.app_soft_version),
        ("vnf_package_version", &descriptor.app_d_version),
    ] {
        compare(name, manifest.value(name)?, own)?;
    }
    let list = |text: &str| {
        text.split(',')
            .map(|item| item.trim().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let same = |name: &str, own: &[String]| {
        let value = manifest.value(name)?;
        if list(value) == own.iter().cloned().collect() {
            return Ok(());
        }
        compare(name, value, &own.join(","))
    };
    same("mec_versions", &descriptor.mec_version)?;
    if let (Some(own), true) = (&read.vnfm_info, manifest.metadata.contains_key("vnfm_info")) {
        same("vnfm_info", own)?;
    }
    Ok(())
}
