//! Image references, `[registry/]repository[:tag][@digest]` (distribution specification, "Pulling manifests").

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry in the names of images that came inside packages: of the box alone, so that nobody pulls it and nobody else
/// gives an image such a name.
pub const PACKAGE_REGISTRY: &str = "package.mec.internal";
/// The registry that a reference without one means, as every container tool has it.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Its other names: cosign writes the first, and the second is the one that answers.
const DEFAULT_REGISTRY_TOO: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// The port of HTTPS, which is meant where none is named.
const HTTPS: u16 = 443;
const DEFAULT_TAG: &str = "latest";
/// Longest repository path that registries accept.
const REPOSITORY_MAX: usize = 255;
/// Longest tag (distribution specification: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
const TAG_MAX: usize = 128;

/// A tag of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageTag(String);

impl ImageTag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an image comes from, with the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<ImageTag>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image reference {text:?} {reason}; write [REGISTRY/]REPOSITORY[:TAG][@sha256:…]")]
pub struct ParseReferenceError {
    text: String,
    reason: &'static str,
}

impl ImageReference {
    /// Host and optional port of the registry, as [`canonical_registry`] has them.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; absent only when the reference is by digest alone.
    pub fn tag(&self) -> Option<&ImageTag> {
        self.tag.as_ref()
    }

    /// The pinned digest, where one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository, pinned to a digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl FromStr for ImageReference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let fail = |reason| ParseReferenceError {
            text: text.to_owned(),
            reason,
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (
                name,
                Some(
                    digest
                        .parse()
                        .map_err(|_| fail("has a digest that is not sha256:<64 hex digits>"))?,
                ),
            ),
            None => (text, None),
        };
        // A first part with a dot, a colon or the word localhost is a registry; anything else is a path of the default one.
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) || first.contains(':') => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let registry = canonical_registry(registry)
            .ok_or_else(|| fail("names a registry that is not HOST or HOST:PORT"))?;
        if !is_repository(repository) {
            return Err(fail(
                "needs a repository of lower-case letters, digits, '.', '_', '-' and '/'",
            ));
        }
        if !tag.is_none_or(is_tag) {
            return Err(fail(
                "has a tag that is not 1 to 128 of letters, digits, '.', '_' and '-'",
            ));
        }
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let tag = tag
            .or(digest.is_none().then_some(DEFAULT_TAG))
            .map(|tag| ImageTag(tag.to_owned()));
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

/// The one spelling of a registry, so that no other gets around a rule about it: its host in small letters, and its port
/// unless that is the one of HTTPS. Nothing where this is not `HOST` or `HOST:PORT`.
pub fn canonical_registry(text: &str) -> Option<String> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (text, None),
    };
    let host = host.to_ascii_lowercase();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !host.starts_with(|c: char| c.is_ascii_alphanumeric())
        // The same host once more, for a resolver.
        || host.ends_with('.')
        || !host.chars().all(is_word)
        || is_disguised(&host)
    {
        return None;
    }
    let is_default = DEFAULT_REGISTRY_TOO.contains(&host.as_str());
    let host = if is_default {
        DEFAULT_REGISTRY.to_owned()
    } else {
        host
    };
    match port {
        // A word alone would be read as the beginning of a path.
        Some(port) if port != HTTPS || !is_host(&host) => Some(format!("{host}:{port}")),
        _ => Some(host),
    }
}

/// Is a first part of a reference that has no port a registry all the same?
fn is_host(text: &str) -> bool {
    text.contains('.') || text == "localhost"
}

/// An address that is not written as four decimal numbers: `10.1` and `0xa.0.0.1` lead to `10.0.0.1` (URL standard, 3.5).
fn is_disguised(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    is_number && host.parse::<Ipv4Addr>().is_err()
}

fn is_repository(text: &str) -> bool {
    let part_ok = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            })
    };
    text.len() <= REPOSITORY_MAX && text.split('/').all(part_ok)
}

fn is_tag(text: &str) -> bool {
    text.len() <= TAG_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{}", tag.0)?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for ImageReference {
    type Error = ParseReferenceError;
    fn try_from(text: String) -> Result<Self, ParseReferenceError> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_the_defaults_every_container_tool_has() {
        for (given, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("umec/app:1", "docker.io/umec/app:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("127.0.0.1:5000/a:v1", "127.0.0.1:5000/a:v1"),
            ("localhost/a:x", "localhost/a:x"),
        ] {
            assert_eq!(given.parse::<ImageReference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_registry_has_one_spelling() {
        for (given, full) in [
            (
                "Registry.Example/team/app",
                "registry.example/team/app:latest",
            ),
            ("registry.example:443/app:1", "registry.example/app:1"),
            ("registry.example:0443/app:1", "registry.example/app:1"),
            (
                "registry.example:05000/app:1",
                "registry.example:5000/app:1",
            ),
            ("Depot:443/app:1", "depot:443/app:1"),
            ("localhost:443/app:1", "localhost/app:1"),
            ("index.docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("registry-1.docker.io:443/a/b:1", "docker.io/a/b:1"),
            ("10.0.0.1:443/app:1", "10.0.0.1/app:1"),
        ] {
            let reference: ImageReference = given.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(full.parse(), Ok(reference));
        }
    }

    #[test]
    fn a_digest_needs_no_tag_and_keeps_one() {
        let digest = Digest::from_sha256([1; 32]);
        let bare: ImageReference = format!("r.io/a@{digest}").parse().unwrap();
        assert_eq!((bare.tag(), bare.digest()), (None, Some(&digest)));
        let both: ImageReference = format!("r.io/a:1@{digest}").parse().unwrap();
        assert_eq!(both.tag().unwrap().as_str(), "1");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            "A",
            "a//b",
            "../a",
            "a:",
            "a:b c",
            "r.io:99999/a",
            "r.io./a",
            "r.io.:443/a",
            "10.1/a",
            "0xa.0.0.1/a",
            "0xa000001:5000/a",
            "010.0.0.1/a",
            "a@sha256:1",
            "http://r.io/a",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?} was taken");
        }
    }
}
