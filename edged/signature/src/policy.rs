//! What an image needs, by where it comes from.

use edged_model::{ImageReference, canonical_registry};
use serde::{Deserialize, Serialize};

use crate::{RecordError, strict};

/// The name that stands for every key of the box.
pub(crate) const EVERY_KEY: &str = "*";

/// What images need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Where no rule fits.
    pub default: Requirement,
    /// For archives (`load`), whatever name they have for themselves.
    pub local: Requirement,
    /// By prefix; the longest that fits counts.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// What images of one part of the world need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A registry (`registry.example`), a part of it (`registry.example/team`) or one repository. Whole words: it does
    /// not fit `registry.example/teammates`.
    pub prefix: String,
    /// What is needed.
    pub needs: Requirement,
}

impl Rule {
    /// Whether it is about that repository (`registry/path`).
    fn fits(&self, repository: &str) -> bool {
        let rest = repository.strip_prefix(self.prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether it is about any repository at all: the one of its name, or one below it.
    pub(crate) fn fits_any(&self) -> bool {
        [self.prefix.clone(), format!("{}/x", self.prefix)]
            .iter()
            .filter_map(|text| text.parse::<ImageReference>().ok())
            .any(|image| self.fits(&format!("{}/{}", image.registry(), image.repository())))
    }
}

/// What an image needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    /// Nothing.
    Allow,
    /// It is not taken.
    Deny,
    /// A signature.
    Signature(Signatures),
}

/// Whose signature, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// One of these keys by name; `*` is every key of the box.
    pub keys: Vec<String>,
    /// Whether it must have been made for the repository that the image comes from.
    #[serde(default)]
    pub identity: bool,
    /// The annotation with the counting number of a release, which is never lower than one taken before. Without it an
    /// old image that was well signed is taken again when somebody moves a tag back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// A registry, or a part of it, as references have it; nothing where it begins with none.
pub(crate) fn canonical(place: &str) -> Option<String> {
    match place.split_once('/') {
        Some((registry, path)) => Some(format!("{}/{path}", canonical_registry(registry)?)),
        None => canonical_registry(place),
    }
}

impl Policy {
    /// Reads a policy; whether its keys are there, [`crate::Record::set_policy`] says.
    ///
    /// # Errors
    /// It is no JSON of this form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RecordError> {
        strict::from_slice(bytes).map_err(|error| RecordError::Syntax(error.to_string()))
    }

    /// Takes everything: a machine that nobody has commissioned as a box of its own.
    pub fn open() -> Self {
        Self {
            default: Requirement::Allow,
            local: Requirement::Allow,
            rules: Vec::new(),
        }
    }

    /// Takes nothing.
    pub fn closed() -> Self {
        Self {
            default: Requirement::Deny,
            local: Requirement::Deny,
            rules: Vec::new(),
        }
    }

    /// Takes what a key of the box signed, and as long as there is none, nothing.
    pub fn signed() -> Self {
        let signed = Requirement::Signature(Signatures {
            keys: vec![EVERY_KEY.to_owned()],
            identity: false,
            release: None,
        });
        Self {
            default: signed.clone(),
            local: signed,
            rules: Vec::new(),
        }
    }

    /// Whether nothing is asked of any image.
    pub fn is_open(&self) -> bool {
        self.all().all(|(_, needed)| *needed == Requirement::Allow)
    }

    /// What an image of that repository (`registry/path`) needs.
    pub fn of(&self, repository: &str) -> &Requirement {
        let longest = self
            .rules
            .iter()
            .filter(|rule| rule.fits(repository))
            .max_by_key(|rule| rule.prefix.trim_end_matches('/').len());
        longest.map_or(&self.default, |rule| &rule.needs)
    }

    /// Every requirement, with what it is for.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Requirement)> {
        let named = [("default", &self.default), ("local", &self.local)];
        let rules = self.rules.iter();
        named
            .into_iter()
            .chain(rules.map(|rule| (rule.prefix.as_str(), &rule.needs)))
    }
}
