//! Image references, `[registry/]repository[:tag][@digest]` (distribution specification, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry that a reference without one means, as every container tool has it.
const DEFAULT_REGISTRY: &str = "docker.io";
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
    /// Host and optional port of the registry.
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
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => (DEFAULT_REGISTRY, name),
        };
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_registry(registry) {
            return Err(fail("names a registry that is not HOST or HOST:PORT"));
        }
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
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    let host_ok = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    host_ok && port.is_none_or(|port| port.parse::<u16>().is_ok())
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
            "a@sha256:1",
            "http://r.io/a",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?} was taken");
        }
    }
}
