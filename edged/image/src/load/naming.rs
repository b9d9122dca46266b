//! Names in archives: of entries, and of images.

use edged_model::{Digest, ImageReference, PACKAGE_REGISTRY};
use oci_spec::image::Descriptor;

use crate::Refusal;
use crate::store::REF_NAME;

/// The annotation by which containerd and docker name an image in full.
const FULL_NAME: &str = "io.containerd.image.name";
/// Digits of a SHA-256.
const HEX_LEN: usize = 64;

/// What an entry is, by its name.
pub(super) enum Name {
    /// A blob of a layout: named by its digest.
    Blob(Digest),
    /// A configuration or a layer of an older `docker save`: its digest comes out of its content.
    Unhashed,
    /// Nothing that is needed.
    Other,
}

/// Sorts the entries of an archive.
pub(super) fn blob(name: &str) -> Name {
    if let Some(hex) = name.strip_prefix("blobs/sha256/") {
        return format!("sha256:{hex}")
            .parse()
            .map_or(Name::Other, Name::Blob);
    }
    let stem = name
        .strip_suffix(".json")
        .or_else(|| name.strip_suffix(".tar"))
        .unwrap_or_default();
    let is_hex =
        |text: &str| text.len() == HEX_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex(stem) || name.strip_suffix("/layer.tar").is_some_and(is_hex) {
        Name::Unhashed
    } else {
        Name::Other
    }
}

/// The entry that a link of the entry `name` points at, worked out on the text alone.
pub(super) fn beside(name: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The names that a layout gives an image. A bare tag, as umoci and docker write it, is none.
pub(super) fn annotated(entry: &Descriptor) -> Result<Vec<ImageReference>, Refusal> {
    let annotations = entry.annotations().as_ref();
    let text = |key| annotations.and_then(|annotations| annotations.get(key));
    match text(FULL_NAME).or_else(|| text(REF_NAME).filter(|name| name.contains([':', '/', '@']))) {
        Some(name) => {
            Ok(vec![name.parse().map_err(|_| {
                Refusal::Name(name.chars().take(100).collect())
            })?])
        }
        None => Ok(Vec::new()),
    }
}

/// The names that `docker save` gives an image.
pub(super) fn tagged(tags: &[String]) -> Result<Vec<ImageReference>, Refusal> {
    tags.iter()
        .map(|name| {
            name.parse()
                .map_err(|_| Refusal::Name(name.chars().take(100).collect()))
        })
        .collect()
}

/// Refuses a name that is not the archive's to give: of an image inside a package, or by the digest of something else.
pub(super) fn free(name: &ImageReference, chain: &[Digest]) -> Result<(), Refusal> {
    if name.registry() == PACKAGE_REGISTRY {
        return Err(Refusal::OfPackages);
    }
    match (name.digest(), chain.last()) {
        (Some(expected), Some(found)) if !chain.contains(expected) => Err(Refusal::WrongDigest {
            expected: expected.clone(),
            found: found.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_worked_out_within_the_archive() {
        for (name, target, found) in [
            ("a/layer.tar", "../b.tar", Some("b.tar")),
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "./b", Some("b")),
            ("a/b", "/etc/passwd", Some("a/etc/passwd")),
            ("a/b", "../../etc/passwd", None),
        ] {
            assert_eq!(beside(name, target).as_deref(), found, "{name} -> {target}");
        }
    }

    #[test]
    fn only_blobs_and_what_docker_wrote_are_taken() {
        let hex = "0a".repeat(32);
        assert!(matches!(
            blob(&format!("blobs/sha256/{hex}")),
            Name::Blob(_)
        ));
        for taken in [
            format!("{hex}.json"),
            format!("{hex}.tar"),
            format!("{hex}/layer.tar"),
        ] {
            assert!(matches!(blob(&taken), Name::Unhashed), "{taken}");
        }
        for other in [
            "VERSION",
            "repositories",
            "blobs/sha512/00",
            "x/layer.tar",
            &format!("{hex}/json"),
            &format!("blobs/sha256/{hex}/x"),
        ] {
            assert!(matches!(blob(other), Name::Other), "{other}");
        }
    }
}
