//! An image as the rest of edged sees it: parsed once, consistent with itself, for this machine.

use std::collections::BTreeMap;

use edged_model::{Digest, ImageReference, Protocol};
use oci_spec::image::{Config, Descriptor, ImageConfiguration, ImageManifest, MediaType};
use serde::{Deserialize, Serialize};

use crate::document::{Blob, json};
use crate::{Architecture, Refusal};

/// The most layers: docker's own limit is 127, and overlayfs takes a page of options.
const LAYERS_MAX: usize = 128;
/// The largest layer: more than the data partition of the boxes this is for.
pub(crate) const LAYER_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// The largest image, all layers together, as stored.
const IMAGE_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// The longest creation time that is shown: RFC 3339 with nanoseconds and zone has 35.
const CREATED_MAX: usize = 40;

/// An image of this machine's platform, pinned to one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// What it was asked for by.
    pub reference: ImageReference,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of its configuration.
    pub config: Digest,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// What to start by default.
    pub process: ImageProcess,
    /// What it was built for.
    pub architecture: Architecture,
    /// When it was built (RFC 3339), where it says so.
    pub created: Option<String>,
    /// Bytes of its documents and layers as stored.
    pub size: u64,
}

/// A layer as it is stored and as it unpacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// How it is packed.
    pub media_type: LayerMediaType,
    /// Digest of its uncompressed content: the promise of the configuration, which whoever unpacks it must check.
    pub diff_id: Digest,
}

/// How a layer is packed. Docker's and the OCI's names for the same thing are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerMediaType {
    /// A plain tar.
    #[serde(rename = "application/vnd.oci.image.layer.v1.tar")]
    Tar,
    /// Through gzip.
    #[serde(rename = "application/vnd.oci.image.layer.v1.tar+gzip")]
    TarGzip,
    /// Through Zstandard.
    #[serde(rename = "application/vnd.oci.image.layer.v1.tar+zstd")]
    TarZstd,
}

/// What an image starts, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageProcess {
    /// First words of the command.
    pub entrypoint: Vec<String>,
    /// Last words of the command, which a user replaces.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `name`, `uid`, `uid:gid`, …; absent: root of the container.
    pub user: Option<String>,
    /// Absolute.
    pub working_dir: String,
    /// What it listens on, as a hint.
    pub exposed_ports: Vec<ExposedPort>,
    /// `SIGTERM`, `SIGRTMIN+3`, `15`, …; absent: SIGTERM.
    pub stop_signal: Option<String>,
    /// Whatever its maker wrote.
    pub labels: BTreeMap<String, String>,
}

/// A port that an image says it listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExposedPort {
    /// 1 to 65535.
    pub port: u16,
    /// Of which protocol.
    pub protocol: Protocol,
}

impl LayerMediaType {
    /// The OCI's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "application/vnd.oci.image.layer.v1.tar",
            Self::TarGzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::TarZstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    fn parse(number: usize, media_type: &MediaType) -> Result<Self, Refusal> {
        match media_type.as_ref() {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::Tar),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Self::TarGzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Self::TarZstd),
            foreign if foreign.contains("nondistributable") || foreign.contains("foreign") => {
                Err(Refusal::ForeignLayer(number))
            }
            unknown => Err(Refusal::LayerMediaType {
                number,
                media_type: unknown.to_owned(),
            }),
        }
    }
}

/// The layers of a manifest before its configuration is known, checked against every bound.
pub(crate) fn layer_blobs(
    manifest: &ImageManifest,
) -> Result<Vec<(Blob, LayerMediaType)>, Refusal> {
    let descriptors = manifest.layers();
    match descriptors.len() {
        0 => return Err(Refusal::NoLayers),
        count if count > LAYERS_MAX => {
            return Err(Refusal::TooManyLayers {
                count,
                limit: LAYERS_MAX,
            });
        }
        _ => {}
    }
    let mut total = 0u64;
    let mut layers = Vec::with_capacity(descriptors.len());
    for (number, descriptor) in (1..).zip(descriptors) {
        let media_type = LayerMediaType::parse(number, descriptor.media_type())?;
        let blob = Blob::described(descriptor)?;
        if blob.size > LAYER_MAX {
            return Err(Refusal::BlobTooLarge {
                digest: blob.digest,
                size: blob.size,
                limit: LAYER_MAX,
            });
        }
        total = total.saturating_add(blob.size);
        layers.push((blob, media_type));
    }
    if total > IMAGE_MAX {
        return Err(Refusal::ImageTooLarge {
            size: total,
            limit: IMAGE_MAX,
        });
    }
    Ok(layers)
}

/// The configuration's blob, refused where the manifest is of something else than a container image.
pub(crate) fn config_blob(manifest: &ImageManifest) -> Result<Blob, Refusal> {
    let descriptor: &Descriptor = manifest.config();
    let media_type = descriptor.media_type();
    if *media_type != MediaType::ImageConfig
        && media_type.as_ref() != "application/vnd.docker.container.image.v1+json"
    {
        return Err(Refusal::ConfigMediaType(media_type.to_string()));
    }
    Blob::document(descriptor, "configuration")
}

impl Image {
    /// Joins a manifest with its configuration. The digests of both are the caller's to have checked.
    pub(crate) fn join(
        reference: ImageReference,
        digest: Digest,
        manifest: &ImageManifest,
        config: &[u8],
        architecture: Architecture,
    ) -> Result<Self, Refusal> {
        let config_blob = config_blob(manifest)?;
        let layer_blobs = layer_blobs(manifest)?;
        let config: ImageConfiguration = json("configuration", config)?;
        architecture.check(&config)?;
        if config.rootfs().typ() != "layers" {
            return Err(Refusal::RootFsType(config.rootfs().typ().clone()));
        }
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != layer_blobs.len() {
            return Err(Refusal::LayerCount {
                layers: layer_blobs.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let mut size = config_blob.size;
        let mut layers = Vec::with_capacity(layer_blobs.len());
        for ((blob, media_type), diff_id) in layer_blobs.into_iter().zip(diff_ids) {
            let diff_id = diff_id
                .parse()
                .map_err(|_| Refusal::DigestAlgorithm(diff_id.clone()))?;
            size = size.saturating_add(blob.size);
            layers.push(Layer {
                digest: blob.digest,
                size: blob.size,
                media_type,
                diff_id,
            });
        }
        Ok(Self {
            reference,
            manifest: digest,
            config: config_blob.digest,
            layers,
            process: config
                .config()
                .as_ref()
                .map_or_else(|| Ok(ImageProcess::empty()), ImageProcess::parse)?,
            architecture,
            created: config
                .created()
                .clone()
                .filter(|time| is_printable(time) && time.len() <= CREATED_MAX),
            size,
        })
    }
}

impl ImageProcess {
    fn empty() -> Self {
        Self {
            working_dir: "/".to_owned(),
            ..Self::default()
        }
    }

    fn parse(config: &Config) -> Result<Self, Refusal> {
        let words = |member, words: &Option<Vec<String>>| {
            let words = words.clone().unwrap_or_default();
            match words.iter().find(|word| word.contains('\0')) {
                Some(word) => Err(refuse(member, word, "holds a zero byte")),
                None => Ok(words),
            }
        };
        let env = words("Env", config.env())?;
        if let Some(bad) = env
            .iter()
            .find(|pair| pair.find('=').is_none_or(|at| at == 0))
        {
            return Err(refuse("Env", bad, "is not NAME=VALUE"));
        }
        let mut exposed_ports = config
            .exposed_ports()
            .iter()
            .flatten()
            .map(|text| exposed_port(text))
            .collect::<Result<Vec<_>, _>>()?;
        exposed_ports.sort_unstable();
        Ok(Self {
            entrypoint: words("Entrypoint", config.entrypoint())?,
            cmd: words("Cmd", config.cmd())?,
            env,
            user: some_text("User", config.user().as_deref())?,
            working_dir: working_dir(config.working_dir().as_deref())?,
            exposed_ports,
            stop_signal: some_text("StopSignal", config.stop_signal().as_deref())?,
            labels: config
                .labels()
                .iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        })
    }
}

fn refuse(member: &'static str, value: &str, reason: &'static str) -> Refusal {
    Refusal::Process {
        member,
        value: value.chars().take(80).collect(),
        reason,
    }
}

/// Printable ASCII without spaces: safe to show, to log and to compare.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn some_text(member: &'static str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    match text {
        None | Some("") => Ok(None),
        Some(text) if is_printable(text) => Ok(Some(text.to_owned())),
        Some(text) => Err(refuse(member, text, "is not printable ASCII")),
    }
}

fn working_dir(text: Option<&str>) -> Result<String, Refusal> {
    match text {
        None | Some("") => Ok("/".to_owned()),
        Some(text) if text.contains('\0') => Err(refuse("WorkingDir", text, "holds a zero byte")),
        Some(text) if text.starts_with('/') => Ok(text.to_owned()),
        Some(text) => Err(refuse("WorkingDir", text, "is not absolute")),
    }
}

fn exposed_port(text: &str) -> Result<ExposedPort, Refusal> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(refuse("ExposedPorts", text, "is neither tcp nor udp")),
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok(ExposedPort { port, protocol }),
        _ => Err(refuse("ExposedPorts", text, "is no port")),
    }
}
