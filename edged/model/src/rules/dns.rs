//! A DNS rule (ETSI GS MEC 011, `DnsRule`): one name, one address, while the rule is active.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ParseRuleError, RuleId, by_text, refuse};

/// Longest name in text form without the last dot (RFC 1035, 2.3.4: 255 octets on the wire).
const NAME_MAX: usize = 253;
/// Longest label (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;

/// A fully qualified name, kept in lower case and without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name in lower case, without the last dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= LABEL_MAX
                && label.chars().all(alphabet)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= NAME_MAX && name.split('.').all(label) {
            Ok(Self(name))
        } else {
            Err(refuse(
                "domain name",
                text,
                "write labels of letters, digits, '-' and '_' with dots between them",
            ))
        }
    }
}

by_text!(DomainName);

/// A name that the resolver answers by itself, for as long as the rule is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsRule {
    /// Its name within the instance.
    pub id: RuleId,
    /// What is asked for.
    pub domain: DomainName,
    /// What is answered, as A or AAAA.
    pub address: IpAddr,
    /// Seconds that an answer may be kept; absent: it never expires (MEC 011), served as the longest there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether it is in force.
    pub active: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_name_is_labels_in_lower_case() {
        assert_eq!(
            "Video.Example.COM.".parse::<DomainName>().unwrap().as_str(),
            "video.example.com"
        );
        for bad in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a b",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad:?} was taken");
        }
    }
}
