//! The container of an application and its image (MEC 010-2, 6.2.1.28 and 6.2.1.30).

use serde::{Deserialize, Serialize};

use super::units::{Gigabytes, Megabytes};
use crate::hash::Hash;

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
pub(crate) struct OsContainerProperties {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) requested_cpu_resources: Option<u32>,
    pub(crate) requested_memory_resources: Option<Megabytes>,
    pub(crate) requested_ephemeral_storage_resources: Option<Gigabytes>,
    pub(crate) cpu_resource_limit: Option<u32>,
    pub(crate) memory_resource_limit: Option<Megabytes>,
    pub(crate) ephemeral_storage_resource_limit: Option<Gigabytes>,
}

/// The properties of `tosca.artifacts.nfv.SwImage` (SOL 001, 6.3.1).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwImageProperties {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) checksum: Option<SwImageChecksum>,
    pub(crate) container_format: String,
    pub(crate) size: Option<Megabytes>,
    /// For virtual machines; a container has none.
    #[serde(rename = "disk_format")]
    pub(crate) _disk_format: Option<String>,
    #[serde(rename = "min_disk")]
    pub(crate) _min_disk: Option<Gigabytes>,
    #[serde(rename = "min_ram")]
    pub(crate) _min_ram: Option<Megabytes>,
    #[serde(rename = "operating_system")]
    pub(crate) _operating_system: Option<String>,
    #[serde(rename = "supported_virtualisation_environments")]
    pub(crate) _supported_virtualisation_environments: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwImageChecksum {
    pub(crate) algorithm: String,
    pub(crate) hash: String,
}
