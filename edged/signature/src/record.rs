//! What a box keeps of image trust: its policy, its keys, and the releases it has taken. One file, written whole.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::policy::{EVERY_KEY, canonical};
use crate::{KeyError, Policy, PublicKey, Release, Requirement, strict};

/// Keys at once: a team a registry, and every one is tried.
pub const KEYS_MAX: usize = 64;
/// Rules at once; a box has some applications of some makers.
const RULES_MAX: usize = 256;
/// Repositories whose release is remembered: more than applications fit a box.
const SEEN_MAX: usize = 4096;
/// Longest name of a key.
const NAME_MAX: usize = 64;
/// The form of this file.
const VERSION: u32 = 1;

/// Why a record or a change of it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No JSON of this shape.
    #[error("the image policy cannot be read: {0}; `trust policy show` has the form")]
    Syntax(String),
    /// Of a newer edged.
    #[error("the image policy has version {0}; this edged knows version {VERSION}")]
    Version(u32),
    /// A key's name.
    #[error("{0:?} is no name of a key; write 1 to {NAME_MAX} letters, digits, '-', '_' and '.'")]
    Name(String),
    /// A key's text.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The end before the beginning.
    #[error("the key {0} would end before it begins to be valid")]
    Validity(KeyName),
    /// The name is taken.
    #[error("a key named {0} is trusted already; remove it first, or choose another name")]
    Taken(KeyName),
    /// The same key under two names would outlive the removal of one.
    #[error("this key is trusted already, as {0}")]
    Known(KeyName),
    /// Too many.
    #[error("{0} more than are kept; remove some")]
    Full(&'static str),
    /// No such key.
    #[error("no key named {0} is trusted; `trust keys list` shows them")]
    Unknown(String),
    /// A rule would be left without its key.
    #[error("the key {key} is needed for {place:?}; change that with `trust policy set` first")]
    Needed {
        /// Which.
        key: String,
        /// By which rule.
        place: String,
    },
    /// A rule with a key that is not there.
    #[error(
        "the policy for {place:?} names the key {key:?}, which is not trusted; add it first with `trust keys add`"
    )]
    Missing {
        /// Which.
        key: String,
        /// In which rule.
        place: String,
    },
    /// A rule without a key.
    #[error(
        "the policy for {0:?} needs a signature and names no key; name one, \"*\" for every one, or write \"deny\""
    )]
    NoKey(String),
    /// Twice, or empty.
    #[error("the prefix {0:?} is there twice or is no REGISTRY[/PATH]")]
    Prefix(String),
    /// A rule that would never count.
    #[error(
        "no image has a name that begins with {0:?}; write a registry as references do (registry.example, HOST:PORT) \
         and words of small letters without a tag (registry.example/team, docker.io/library/nginx)"
    )]
    Nowhere(String),
}

/// The name of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=NAME_MAX).contains(&text.len()) && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RecordError::Name(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for KeyName {
    type Error = RecordError;

    fn try_from(text: String) -> Result<Self, RecordError> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a key is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// From then on; absent: always was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Until then and not at it; absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// A key that the box knows.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The key.
    pub key: PublicKey,
    /// When it counts.
    pub validity: Validity,
    pem: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    pem: String,
    #[serde(flatten)]
    validity: Validity,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Absent as long as nobody set one: then the box's standing decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
    #[serde(default)]
    keys: BTreeMap<KeyName, StoredKey>,
    #[serde(default)]
    seen: BTreeMap<String, u64>,
}

/// Policy, keys and releases.
#[derive(Debug, Clone, Default)]
pub struct Record {
    policy: Option<Policy>,
    keys: BTreeMap<KeyName, KnownKey>,
    seen: BTreeMap<String, u64>,
}

impl Record {
    /// Where a file says nothing: takes nothing, also once it is written, until somebody sets a policy.
    pub fn closed() -> Self {
        Self {
            policy: Some(Policy::closed()),
            ..Self::default()
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`RecordError`] where it is not what [`Record::to_json`] wrote.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RecordError> {
        let syntax = |error: serde_json::Error| RecordError::Syntax(error.to_string());
        let stored: Stored = strict::from_slice(bytes).map_err(syntax)?;
        if stored.version != VERSION {
            return Err(RecordError::Version(stored.version));
        }
        let mut record = Self {
            seen: stored.seen,
            ..Self::default()
        };
        for (name, key) in stored.keys {
            record.add(name, &key.pem, key.validity)?;
        }
        if let Some(policy) = stored.policy {
            // A rule of it may fit nothing: it was taken by an edged that did not ask.
            record.policy = Some(record.consistent(policy)?);
        }
        Ok(record)
    }

    /// As a file.
    ///
    /// # Errors
    /// None that happens: every member has a form in JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        let keys = self.keys.iter().map(|(name, known)| {
            let stored = StoredKey {
                pem: known.pem.clone(),
                validity: known.validity,
            };
            (name.clone(), stored)
        });
        let stored = Stored {
            version: VERSION,
            policy: self.policy.clone(),
            keys: keys.collect(),
            seen: self.seen.clone(),
        };
        serde_json::to_vec_pretty(&stored).map_err(|error| RecordError::Syntax(error.to_string()))
    }

    /// The policy that somebody set.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// The keys by name.
    pub fn keys(&self) -> &BTreeMap<KeyName, KnownKey> {
        &self.keys
    }

    /// Replaces the policy; each prefix is kept as references spell it.
    ///
    /// # Errors
    /// It names a key that is not there, a prefix twice or one that no image has, or too much.
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), RecordError> {
        let policy = self.consistent(policy)?;
        if let Some(rule) = policy.rules.iter().find(|rule| !rule.fits_any()) {
            return Err(RecordError::Nowhere(rule.prefix.chars().take(80).collect()));
        }
        self.policy = Some(policy);
        Ok(())
    }

    /// The policy with its prefixes as references spell them, where it fits the keys.
    fn consistent(&self, mut policy: Policy) -> Result<Policy, RecordError> {
        if policy.rules.len() > RULES_MAX {
            return Err(RecordError::Full("there are more rules than 256,"));
        }
        let mut prefixes = std::collections::BTreeSet::new();
        for rule in &mut policy.rules {
            let prefix = canonical(rule.prefix.trim_end_matches('/'))
                .filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_graphic()))
                .filter(|prefix| prefixes.insert(prefix.clone()));
            let wrong = || RecordError::Prefix(rule.prefix.chars().take(80).collect());
            rule.prefix = prefix.ok_or_else(wrong)?;
        }
        for (place, requirement) in policy.all() {
            let Requirement::Signature(signatures) = requirement else {
                continue;
            };
            if signatures.keys.is_empty() {
                return Err(RecordError::NoKey(place.to_owned()));
            }
            for key in signatures.keys.iter().filter(|key| *key != EVERY_KEY) {
                if !self.keys.keys().any(|known| known.as_str() == key) {
                    return Err(RecordError::Missing {
                        key: key.chars().take(80).collect(),
                        place: place.to_owned(),
                    });
                }
            }
        }
        Ok(policy)
    }

    /// Takes the images of a key from now on.
    ///
    /// # Errors
    /// It is none, or known already, or there are too many.
    pub fn add(
        &mut self,
        name: KeyName,
        pem: &str,
        validity: Validity,
    ) -> Result<&KnownKey, RecordError> {
        let key = PublicKey::from_pem(pem)?;
        if let (Some(from), Some(until)) = (validity.from, validity.until)
            && from >= until
        {
            return Err(RecordError::Validity(name));
        }
        if self.keys.contains_key(&name) {
            return Err(RecordError::Taken(name));
        }
        let fingerprint = key.fingerprint();
        let same = |(_, known): &(&KeyName, &KnownKey)| known.key.fingerprint() == fingerprint;
        if let Some((known, _)) = self.keys.iter().find(same) {
            return Err(RecordError::Known(known.clone()));
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(RecordError::Full("there are 64 keys, one would be"));
        }
        let pem = pem.to_owned();
        Ok(self
            .keys
            .entry(name)
            .or_insert(KnownKey { key, validity, pem }))
    }

    /// Takes no more images of a key; what runs stays.
    ///
    /// # Errors
    /// There is no such key, or a rule needs it.
    pub fn remove(&mut self, name: &str) -> Result<(), RecordError> {
        let found = self.keys.keys().find(|known| known.as_str() == name);
        let Some(found) = found.cloned() else {
            return Err(RecordError::Unknown(name.chars().take(80).collect()));
        };
        let places = self.policy.iter().flat_map(Policy::all);
        for (place, requirement) in places {
            if let Requirement::Signature(signatures) = requirement
                && signatures.keys.iter().any(|key| key == name)
            {
                return Err(RecordError::Needed {
                    key: name.to_owned(),
                    place: place.to_owned(),
                });
            }
        }
        self.keys.remove(&found);
        Ok(())
    }

    /// The highest release of a repository so far.
    pub fn seen(&self, repository: &str) -> Option<u64> {
        self.seen.get(repository).copied()
    }

    /// Remembers a release that is taken; false where nothing changed.
    ///
    /// # Errors
    /// Too many repositories.
    pub fn saw(&mut self, release: &Release) -> Result<bool, RecordError> {
        let Release { repository, number } = release;
        if self.seen(repository).is_some_and(|seen| seen >= *number) {
            return Ok(false);
        }
        if self.seen.len() >= SEEN_MAX && !self.seen.contains_key(repository) {
            return Err(RecordError::Full(
                "there are releases of 4096 repositories, one would be",
            ));
        }
        self.seen.insert(repository.clone(), *number);
        Ok(true)
    }
}
