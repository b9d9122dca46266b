//! What is signed: the document of "simple signing".

use std::collections::BTreeMap;

use edged_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::canonical;
use crate::{Refusal, strict};

/// Longest payload that is read: cosign's has about 250 bytes, annotations included rarely a thousand.
pub const PAYLOAD_MAX: usize = 16 << 10;
/// What the member `type` says.
const TYPE: &str = "cosign container image signature";

/// What a signature says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    critical: Critical,
    /// Whatever its signer wrote beside (`cosign sign -a NAME=VALUE`).
    #[serde(default)]
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Named,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

impl Payload {
    /// What a signer says of the image of that digest in that repository.
    pub fn new(repository: &str, digest: &Digest, annotations: BTreeMap<String, String>) -> Self {
        let optional = annotations
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        Self {
            critical: Critical {
                identity: Identity {
                    reference: repository.to_owned(),
                },
                image: Named {
                    digest: digest.clone(),
                },
                kind: TYPE.to_owned(),
            },
            optional: Some(optional),
        }
    }

    /// Reads a payload; whoever signed it is not known here.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let payload: Self =
            strict::from_slice(bytes).map_err(|error| Refusal::Payload(error.to_string()))?;
        if payload.critical.kind != TYPE {
            let kind = payload.critical.kind.chars().take(80).collect();
            return Err(Refusal::PayloadType(kind));
        }
        Ok(payload)
    }

    /// The image that it names.
    pub(crate) fn digest(&self) -> &Digest {
        &self.critical.image.digest
    }

    /// The repository that it was signed for, as references spell it.
    pub(crate) fn place(&self) -> String {
        let text = self.repository();
        canonical(text).unwrap_or_else(|| text.to_owned())
    }

    /// The same as it was written: `cosign` writes it without a tag, others with one.
    pub(crate) fn repository(&self) -> &str {
        let text = self.critical.identity.reference.as_str();
        let text = text.split_once('@').map_or(text, |(name, _)| name);
        match text.rsplit_once(':') {
            // A colon before the last slash is a port's.
            Some((name, tag)) if !tag.contains('/') => name,
            _ => text,
        }
    }

    /// The counting number of a release that it carries under this name; a number, or a text of one.
    pub(crate) fn release(&self, name: &str) -> Option<u64> {
        match self.optional.as_ref()?.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Its bytes, to be signed.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_for_a_registry_is_for_it_in_each_spelling() {
        let digest = Digest::from_sha256([1; 32]);
        for (written, place) in [
            (
                "Registry.Example:443/team/app:1",
                "registry.example/team/app",
            ),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("no registry/app", "no registry/app"),
        ] {
            let payload = Payload::new(written, &digest, BTreeMap::new());
            assert_eq!(payload.place(), place);
        }
    }
}
