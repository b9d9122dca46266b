//! Which of an index's images this machine runs.

use std::fmt;

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, MediaType, Os};
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// A processor architecture that edged runs on, with the base variant of its instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64 (variant v1).
    Amd64,
    /// 64-bit ARM (variant v8).
    Arm64,
}

impl Architecture {
    /// That of this machine.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::Amd64
        }
    }

    fn runs(self, arch: &Arch, os: &Os, variant: Option<&str>) -> bool {
        let (ours, base) = match self {
            Self::Amd64 => (Arch::Amd64, "v1"),
            Self::Arm64 => (Arch::ARM64, "v8"),
        };
        // A higher variant may use instructions that this machine lacks.
        *arch == ours
            && *os == Os::Linux
            && variant.is_none_or(|variant| variant.is_empty() || variant == base)
    }

    /// Is the image of that configuration for this machine?
    pub(crate) fn check(self, config: &ImageConfiguration) -> Result<(), Refusal> {
        let variant = config.variant().as_deref();
        if self.runs(config.architecture(), config.os(), variant) {
            return Ok(());
        }
        let found = platform_name(config.os(), config.architecture(), variant);
        Err(Refusal::WrongPlatform {
            wanted: self.to_string(),
            found,
        })
    }

    /// The entry for this machine; an entry without a platform stands in when none names one.
    pub(crate) fn choose(self, index: &ImageIndex) -> Result<&Descriptor, Refusal> {
        let readable =
            |entry: &&Descriptor| is_manifest(entry.media_type()) || is_index(entry.media_type());
        let entries = || index.manifests().iter().filter(readable);
        let exact = entries().find(|entry| {
            entry.platform().as_ref().is_some_and(|platform| {
                self.runs(
                    platform.architecture(),
                    platform.os(),
                    platform.variant().as_deref(),
                )
            })
        });
        if let Some(entry) = exact.or_else(|| entries().find(|entry| entry.platform().is_none())) {
            return Ok(entry);
        }
        let mut offered: Vec<String> = entries()
            .filter_map(|entry| entry.platform().as_ref())
            .map(|platform| {
                platform_name(
                    platform.os(),
                    platform.architecture(),
                    platform.variant().as_deref(),
                )
            })
            .collect();
        offered.dedup();
        offered.truncate(NAMED_PLATFORMS);
        let offered = if offered.is_empty() {
            "nothing".to_owned()
        } else {
            offered.join(", ")
        };
        Err(Refusal::NoPlatform {
            wanted: self.to_string(),
            offered,
        })
    }
}

/// How many platforms a message names: a sentence, not a list of hundreds.
const NAMED_PLATFORMS: usize = 8;

/// A manifest by its media type, of the OCI or of docker.
pub(crate) fn is_manifest(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageManifest
        || media_type.as_ref() == "application/vnd.docker.distribution.manifest.v2+json"
}

/// An index by its media type, of the OCI or of docker.
pub(crate) fn is_index(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageIndex
        || media_type.as_ref() == "application/vnd.docker.distribution.manifest.list.v2+json"
}

fn platform_name(os: &Os, arch: &Arch, variant: Option<&str>) -> String {
    let slash = if variant.is_some() { "/" } else { "" };
    format!("{os}/{arch}{slash}{}", variant.unwrap_or_default())
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "linux/amd64",
            Self::Arm64 => "linux/arm64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> ImageIndex {
        let entries: Vec<_> = (0u8..)
            .zip(platforms)
            .map(|(number, (os, arch, variant))| {
                let mut platform = serde_json::json!({"os": os, "architecture": arch});
                if let Some(variant) = variant {
                    platform["variant"] = (*variant).into();
                }
                let digest = edged_model::Digest::from_sha256([number; 32]);
                serde_json::json!({"mediaType": MediaType::ImageManifest.to_string(), "digest": digest.as_str(), "size": number, "platform": platform})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"schemaVersion": 2, "manifests": entries}))
            .unwrap()
    }

    #[test]
    fn the_base_variant_is_chosen_and_a_higher_one_is_not() {
        let all = index(&[
            ("unknown", "unknown", None),
            ("linux", "arm", Some("v7")),
            ("linux", "arm64", Some("v9")),
            ("linux", "arm64", Some("v8")),
            ("linux", "amd64", Some("v3")),
            ("windows", "amd64", None),
            ("linux", "amd64", None),
        ]);
        assert_eq!(Architecture::Arm64.choose(&all).unwrap().size(), 3);
        assert_eq!(Architecture::Amd64.choose(&all).unwrap().size(), 6);
        let high = index(&[("linux", "amd64", Some("v3"))]);
        let refused = Architecture::Amd64.choose(&high).unwrap_err();
        assert!(refused.to_string().contains("linux/amd64/v3"), "{refused}");
    }

    #[test]
    fn an_entry_without_a_platform_stands_in() {
        let mut value =
            serde_json::to_value(index(&[("linux", "s390x", None), ("linux", "s390x", None)]))
                .unwrap();
        value["manifests"][1]
            .as_object_mut()
            .unwrap()
            .remove("platform");
        let index: ImageIndex = serde_json::from_value(value).unwrap();
        assert_eq!(Architecture::Amd64.choose(&index).unwrap().size(), 1);
    }
}
