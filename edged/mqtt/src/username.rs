//! Names of accounts: parsed once, so that no text with wildcards or control characters reaches the broker.

use std::fmt;
use std::str::FromStr;

use edged_model::InstanceId;
use serde::{Deserialize, Serialize};

/// As long as the longest instance id, since an application's account is usually named after its instance.
const USERNAME_MAX: usize = 64;

/// A text that is no user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "user name {0:?} must be 1 to 64 of letters, digits, '.', '_' and '-', and start with a letter or digit"
)]
pub struct ParseUsernameError(String);

/// The name of an account on the broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

impl Username {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = ParseUsernameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if starts_well && text.len() <= USERNAME_MAX && text.chars().all(alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseUsernameError(text.to_owned()))
        }
    }
}

impl From<&InstanceId> for Username {
    /// Every instance id is a user name: the alphabets and lengths are the same.
    fn from(instance: &InstanceId) -> Self {
        Self(instance.as_str().to_owned())
    }
}

impl TryFrom<String> for Username {
    type Error = ParseUsernameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Username> for String {
    fn from(name: Username) -> Self {
        name.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_carries_no_wildcard_and_no_control_character() {
        let long = "a".repeat(65);
        for bad in [
            "", "#", "+", "a/b", "a b", "a\n", "a\0", "$x", "-a", "ä", "a\"", &long,
        ] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?} was taken");
        }
        for good in ["admin", "a", "sensor-page.1_x", &"a".repeat(64)] {
            assert_eq!(good.parse::<Username>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn every_instance_id_is_a_username() {
        for text in ["x", &"Z".repeat(64), "a.b_c-d"] {
            let instance: InstanceId = text.parse().unwrap();
            assert_eq!(Username::from(&instance), text.parse().unwrap());
        }
    }
}
