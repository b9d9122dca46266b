//! The container of an application and its image (MEC 010-2, 6.2.1.28 and 6.2.1.30).

use edged_model::{Digest, ImageReference};
use serde::{Deserialize, Serialize};

use super::image::ImageSource;
use super::topology::beside;
use super::units::{Gigabytes, Megabytes};
use crate::error::PackageError;
use crate::hash::{Algorithm, Hash};
use crate::yaml::Node;

/// A software image of the application (`SwImageDescriptor`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwImageDescriptor {
    /// In the descriptor: the container's node.
    pub id: String,
    /// Name of the image.
    pub name: String,
    /// Version of the image.
    pub version: String,
    /// Of the image file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Hash>,
    /// `DOCKER`; an archive of `docker save` or an OCI layout as tar.
    pub container_format: String,
    /// Of the image file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Megabytes>,
    /// Path in the package, or a reference with a digest.
    pub sw_image: String,
}

/// One container (`OsContainerDescriptor`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OsContainerDescriptor {
    /// In the descriptor: the node.
    pub os_container_desc_id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_cpu_resources: Option<u32>,
    /// Memory asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_memory_resources: Option<Megabytes>,
    /// Storage asked for that goes with the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_ephemeral_storage_resources: Option<Gigabytes>,
    /// Thousandths of a core at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_resource_limit: Option<u32>,
    /// Memory at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_resource_limit: Option<Megabytes>,
    /// Passing storage at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_resource_limit: Option<Gigabytes>,
    /// Its image.
    pub sw_image_desc: SwImageDescriptor,
}

/// The properties of `tosca.nodes.nfv.Vdu.OsContainer` (SOL 001, 6.8.12) that a box like this keeps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OsContainerProperties {
    name: String,
    #[serde(default)]
    description: String,
    requested_cpu_resources: Option<u32>,
    requested_memory_resources: Option<Megabytes>,
    requested_ephemeral_storage_resources: Option<Gigabytes>,
    cpu_resource_limit: Option<u32>,
    memory_resource_limit: Option<Megabytes>,
    ephemeral_storage_resource_limit: Option<Gigabytes>,
}

/// The properties of `tosca.artifacts.nfv.SwImage` (SOL 001, 6.3.1).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwImageProperties {
    name: String,
    version: String,
    checksum: Option<SwImageChecksum>,
    container_format: String,
    size: Option<Megabytes>,
    /// For virtual machines; a container has none.
    #[serde(rename = "disk_format")]
    _disk_format: Option<String>,
    #[serde(rename = "min_disk")]
    _min_disk: Option<Gigabytes>,
    #[serde(rename = "min_ram")]
    _min_ram: Option<Megabytes>,
    #[serde(rename = "operating_system")]
    _operating_system: Option<String>,
    #[serde(rename = "supported_virtualisation_environments")]
    _supported_virtualisation_environments: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwImageChecksum {
    algorithm: String,
    hash: String,
}

/// An image that the descriptor names.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) source: ImageSource,
    pub(crate) checksum: Option<Hash>,
    pub(crate) named_by: String,
}

/// Reads a node of type `tosca.nodes.nfv.Vdu.OsContainer`; `exists` says whether the package has a file.
pub(super) fn container(
    name: &str,
    template: &Node<'_>,
    exists: impl Fn(&str) -> bool,
) -> Result<(OsContainerDescriptor, Image), PackageError> {
    let own: OsContainerProperties = template.require("properties")?.read()?;
    let artifact = template.require("artifacts")?.require("sw_image")?;
    let kind = artifact.require("type")?;
    if kind.text()? != "tosca.artifacts.nfv.SwImage" {
        return Err(
            kind.error("an image is an artifact of type tosca.artifacts.nfv.SwImage; write that")
        );
    }
    let file = artifact.require("file")?;
    let details = artifact.require("properties")?;
    let image: SwImageProperties = details.read()?;
    if !image.container_format.eq_ignore_ascii_case("docker") {
        return Err(details
            .require("container_format")?
            .error("only docker is taken (an archive of docker save, or an OCI layout as tar); convert the image"));
    }
    let checksum = match &image.checksum {
        None => None,
        Some(checksum) => {
            let node = details.require("checksum")?;
            let algorithm: Algorithm = checksum
                .algorithm
                .parse()
                .map_err(|error| node.error(format!("{error}")))?;
            Some(
                Hash::parse(algorithm, &checksum.hash)
                    .map_err(|error| node.error(format!("{error}; correct it")))?,
            )
        }
    };
    let source = source(&file, exists)?;
    let sw_image = match &source {
        ImageSource::Inside(path) => path.clone(),
        ImageSource::Registry(reference, _) => reference.to_string(),
    };
    let descriptor = OsContainerDescriptor {
        os_container_desc_id: name.to_owned(),
        name: own.name,
        description: own.description,
        requested_cpu_resources: own.requested_cpu_resources,
        requested_memory_resources: own.requested_memory_resources,
        requested_ephemeral_storage_resources: own.requested_ephemeral_storage_resources,
        cpu_resource_limit: own.cpu_resource_limit,
        memory_resource_limit: own.memory_resource_limit,
        ephemeral_storage_resource_limit: own.ephemeral_storage_resource_limit,
        sw_image_desc: SwImageDescriptor {
            id: name.to_owned(),
            name: image.name,
            version: image.version,
            checksum: checksum.clone(),
            container_format: "DOCKER".to_owned(),
            size: image.size,
            sw_image,
        },
    };
    let image = Image {
        source,
        checksum,
        named_by: template.file().to_owned(),
    };
    Ok((descriptor, image))
}

/// A path of the package, as from its root or as from the descriptor, or else a reference with a digest.
fn source(file: &Node<'_>, exists: impl Fn(&str) -> bool) -> Result<ImageSource, PackageError> {
    let text = file.text()?;
    let from_descriptor = beside(file.file(), text).filter(|path| exists(path));
    if let Some(path) = exists(text).then(|| text.to_owned()).or(from_descriptor) {
        return Ok(ImageSource::Inside(path));
    }
    let looks_like_file = !text.contains(['@', ':']);
    let reference = text
        .parse::<ImageReference>()
        .ok()
        .filter(|_| !looks_like_file);
    let Some(reference) = reference else {
        return Err(file.error(format!(
            "the package has no file {text:?}, and it is no reference to an image; add the file, or write \
             REGISTRY/REPOSITORY@sha256:…"
        )));
    };
    let digest: Digest = reference.digest().cloned().ok_or_else(|| {
        file.error(
            "an image in a registry needs a digest, a tag can move; write REPOSITORY@sha256:…",
        )
    })?;
    Ok(ImageSource::Registry(reference, digest))
}
