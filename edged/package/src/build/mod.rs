//! Making a package.

mod description;
mod tosca;
mod yaml;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use edged_model::ImageReference;

use crate::appd::{AppDescriptor, Read as ReadDescriptor};
use crate::error::{PackageError, WHOLE};
use crate::hash::{Algorithm, Hash};
use crate::identity::SigningIdentity;
use crate::meta::{self, Meta};
use crate::pem;
use crate::zip::Writer;
use description::Description;
use tosca::Artifact;

/// Names of the files; the manifest is named as the descriptor (SOL 004, 4.3.2).
const DEFINITIONS: &str = "application.yaml";
const MANIFEST: &str = "application.mf";
const IMAGE: &str = "Artifacts/Images/image.tar";
/// Specifications that the package follows.
const COMPATIBLE: &str = "2.7.1,3.1.1";
const CHUNK: usize = 64 << 10;

/// The image of a package to be made.
#[derive(Debug)]
pub enum Image {
    /// An archive of `docker save`, or an OCI layout as tar: it goes into the package.
    Archive(File),
    /// In a registry; it needs a digest.
    Reference(ImageReference),
}

/// A package that was made.
#[derive(Debug)]
pub struct Built {
    /// Its descriptor, as whoever opens the package will read it.
    pub descriptor: AppDescriptor,
    /// The descriptor in TOSCA.
    pub definitions: String,
}

/// Makes signed packages from a short description.
///
/// The same description, image and identity give the same package, bit for bit.
#[derive(Debug)]
pub struct PackageBuilder {
    description: Description,
    file: String,
}

impl PackageBuilder {
    /// Reads a description in TOML; `file` is its name for errors. The crate's documentation has an example.
    ///
    /// # Errors
    /// [`PackageError::Field`] with the field and the line.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, PackageError> {
        Ok(Self {
            description: Description::parse(file, text)?,
            file: file.to_owned(),
        })
    }

    /// Writes the package.
    ///
    /// # Errors
    /// [`PackageError`]: an image without a digest, a description that contradicts itself, a disk that is full.
    pub fn build(
        &self,
        image: Image,
        identity: &SigningIdentity,
        out: impl Write + Seek,
    ) -> Result<Built, PackageError> {
        let (artifact, archive) = self.artifact(image)?;
        let wishes = self
            .description
            .extensions()
            .map_err(|(field, reason)| PackageError::field_of(&self.file, field, reason))?;
        let metadata: Vec<(String, String)> = wishes.metadata().into_iter().collect();
        let definitions = tosca::descriptor(&self.description, &artifact, &metadata);
        // Whatever the description forgot is found here and not by the box.
        let read = ReadDescriptor::from_tosca(
            DEFINITIONS,
            |name| Ok((name == DEFINITIONS).then(|| definitions.clone())),
            |name| name == IMAGE && archive.is_some(),
        )?;
        let meta = Meta::write(DEFINITIONS, MANIFEST);
        let mut listed = vec![
            (meta::PATH, Algorithm::Sha256.of(meta.as_bytes())),
            (DEFINITIONS, Algorithm::Sha256.of(definitions.as_bytes())),
        ];
        if let Some(hash) = &artifact.checksum {
            listed.push((IMAGE, hash.clone()));
        }
        let mut manifest = self.manifest(&listed);
        let signature = identity.sign(manifest.as_bytes())?;
        manifest.push_str(&pem::block("CMS", &signature));

        let failed = |file: &'static str| move |source| PackageError::read(file, source);
        let mut writer = Writer::new(out);
        writer
            .add(meta::PATH, meta.as_bytes())
            .map_err(failed(meta::PATH))?;
        writer
            .add(MANIFEST, manifest.as_bytes())
            .map_err(failed(MANIFEST))?;
        writer
            .add(DEFINITIONS, definitions.as_bytes())
            .map_err(failed(DEFINITIONS))?;
        if let Some(archive) = archive {
            writer.add(IMAGE, archive).map_err(failed(IMAGE))?;
        }
        writer.finish().map_err(failed(WHOLE))?;
        Ok(Built {
            descriptor: read.descriptor,
            definitions,
        })
    }

    fn artifact(&self, image: Image) -> Result<(Artifact, Option<File>), PackageError> {
        match image {
            Image::Reference(reference) if reference.digest().is_none() => {
                Err(PackageError::field_of(
                    &self.file,
                    "image",
                    format!(
                        "{reference} has no digest and a tag can move; write REPOSITORY@sha256:…"
                    ),
                ))
            }
            Image::Reference(reference) => {
                let artifact = Artifact {
                    file: reference.to_string(),
                    checksum: None,
                    size: None,
                };
                Ok((artifact, None))
            }
            Image::Archive(mut file) => {
                let failed = |source| PackageError::read(IMAGE, source);
                let (hash, size) = measure(&mut file).map_err(failed)?;
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                let artifact = Artifact {
                    file: IMAGE.to_owned(),
                    checksum: Some(hash),
                    size: Some(size),
                };
                Ok((artifact, Some(file)))
            }
        }
    }

    fn manifest(&self, files: &[(&str, Hash)]) -> String {
        let own = &self.description;
        let mut text = "metadata:\n".to_owned();
        let mut put = |name: &str, value: &str| {
            for piece in ["  ", name, ": ", value, "\n"] {
                text.push_str(piece);
            }
        };
        put("vnfd_id", &own.id());
        put("vnf_provider_id", &own.provider);
        put("vnf_product_name", &own.name);
        put("vnf_release_date_time", &own.released);
        put("vnf_software_version", &own.version);
        put("vnf_package_version", own.descriptor_version());
        put("compatible_specification_versions", COMPATIBLE);
        put("mec_versions", &own.mec_versions.join(","));
        put("vnfm_info", tosca::VNFM_INFO);
        put("app_description", &own.about);
        if let Some(title) = &own.title {
            put("app_info_name", title);
        }
        for &(name, ref hash) in files {
            let algorithm = hash.algorithm.to_string();
            for (key, value) in [
                ("\nSource", name),
                ("Algorithm", &algorithm),
                ("Hash", &hash.hex),
            ] {
                for piece in [key, ": ", value, "\n"] {
                    text.push_str(piece);
                }
            }
        }
        text.push('\n');
        text
    }
}

fn measure(file: &mut File) -> std::io::Result<(Hash, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Algorithm::Sha256.begin();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0_u64;
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.feed(chunk.get(..count).unwrap_or_default());
        size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok((hasher.finish(Algorithm::Sha256), size))
}
