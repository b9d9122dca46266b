//! What an application may ask of the box's network beyond its own link: traffic rules, DNS rules and bandwidth.
//!
//! The types are what the kernel and the resolver need: every address, port and protocol is parsed. The spelling of
//! MEC 011 and MEC 015 is translated at the edge (`edged-mec`).

mod bandwidth;
mod dns;
mod range;
mod traffic;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use bandwidth::{Allocation, AllocationId, BitRate, Direction, SessionFilter};
pub use dns::{DnsRule, DomainName};
pub use range::{AddressRange, Dscp, IpProtocol, MacAddress, PortRange};
pub use traffic::{
    Destination, FilterType, TrafficAction, TrafficFilter, TrafficRule, TunnelEnds, TunnelKind,
};

/// Longest id of a rule or an allocation: fixtures of conformance suites have readable names well below it.
const RULE_ID_MAX: usize = 128;

/// Why a text is no part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {rule}")]
pub struct ParseRuleError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

pub(crate) fn refuse(what: &'static str, text: &str, rule: &'static str) -> ParseRuleError {
    ParseRuleError {
        what,
        text: text.to_owned(),
        rule,
    }
}

/// Implements the serde form of a type by its text.
macro_rules! by_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = ParseRuleError;
            fn try_from(text: String) -> Result<Self, ParseRuleError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use by_text;

/// `trafficRuleId` or `dnsRuleId` of MEC 011: unique within its instance, chosen by the package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleId(String);

impl RuleId {
    /// The text as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RuleId {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let printable =
            |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '?' | '#');
        if !text.is_empty() && text.len() <= RULE_ID_MAX && text.chars().all(printable) {
            Ok(Self(text.to_owned()))
        } else {
            Err(refuse(
                "rule id",
                text,
                "write 1 to 128 printable characters without spaces, quotes, '/', '?' and '#'",
            ))
        }
    }
}

by_text!(RuleId);

/// The rules of one instance, each list in the order of its package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rules {
    /// What happens to packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficRule>,
    /// What the resolver answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsRule>,
}

impl Rules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.traffic.is_empty() && self.dns.is_empty()
    }
}
