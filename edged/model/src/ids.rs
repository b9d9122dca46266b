//! Identifiers: parsed once at the edge, never a bare string inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest instance id: a UUID is 36; fixtures of conformance suites use longer readable names.
const INSTANCE_ID_MAX: usize = 64;
/// The longest DNS label (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Instance ids name files, cgroups and topics, so their alphabet is small.
    #[error(
        "instance id {0:?} must be 1 to 64 of letters, digits, '.', '_' and '-', and start with a letter or digit"
    )]
    Instance(String),
    /// Application and service names are DNS labels.
    #[error(
        "name {0:?} must be a DNS label: 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'"
    )]
    Label(String),
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id!(
    /// The `appInstanceId` of MEC 011: allocated by us as a UUID, or kept as a seed file gave it.
    InstanceId
);
text_id!(
    /// The name of an application: one DNS label, unique on a box, and the first label of its host name.
    AppName
);
text_id!(
    /// The name of a box's site: one DNS label, the first of its zone `SITE.mec.internal`.
    SiteName
);
text_id!(
    /// The name of a service that an application offers (`_NAME._tcp` in DNS-SD), one DNS label.
    ServiceName
);

impl InstanceId {
    /// A fresh random id (UUID version 4, RFC 9562).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

impl FromStr for InstanceId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if starts_well && text.len() <= INSTANCE_ID_MAX && text.chars().all(alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::Instance(text.to_owned()))
        }
    }
}

fn is_label(text: &str) -> bool {
    let alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.chars().all(alphabet)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl FromStr for AppName {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::Label(text.to_owned()))
        }
    }
}

impl FromStr for SiteName {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::Label(text.to_owned()))
        }
    }
}

impl FromStr for ServiceName {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::Label(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_dns_label() {
        for good in ["a", "sensor-page", "x1", &"a".repeat(63)] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn an_instance_id_never_walks_a_path() {
        for bad in ["", "..", "../x", "a/b", ".hidden", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} was taken");
        }
        assert!(InstanceId::random().as_str().parse::<InstanceId>().is_ok());
    }
}
