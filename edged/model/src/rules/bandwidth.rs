//! A bandwidth allocation (ETSI GS MEC 015, `BwInfo`): how fast an instance, or one of its sessions, may send and hear.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AddressRange, IpProtocol, ParseRuleError, PortRange, RuleId, by_text, refuse};
use crate::InstanceId;

/// The fastest link that an allocation can be about: 100 Gbit/s, far beyond any small box's.
const RATE_MAX: u64 = 100_000_000_000;
/// The slowest that tc can hold to with whole packets: below it one full frame would take seconds.
const RATE_MIN: u64 = 8_000;

/// `allocationId`: given by the platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllocationId(pub RuleId);

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BitRate(u64);

impl BitRate {
    /// Bits a second.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for BitRate {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let rate = text.parse().ok();
        rate.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate))
            .map(Self)
            .ok_or_else(|| {
                refuse(
                    "bandwidth",
                    text,
                    "write bits a second as a whole number from 8000 to 100000000000",
                )
            })
    }
}

by_text!(BitRate);

/// `allocationDirection`, as seen from the application's peer (the user equipment).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// `00`: what the application sends.
    FromApp,
    /// `01`: what the application is sent.
    ToApp,
    /// `10`: both, each by itself.
    Both,
}

/// A session of the application (`sessionFilter`): every member that is there must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SessionFilter {
    /// Addresses of the sender of an uplink packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<AddressRange>,
    /// Its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_port: Vec<PortRange>,
    /// Addresses of the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<AddressRange>,
    /// Its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_port: Vec<PortRange>,
    /// The protocol above IP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<IpProtocol>,
}

/// Bandwidth that an instance or its sessions have, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allocation {
    /// Which.
    pub id: AllocationId,
    /// Whose.
    pub instance: InstanceId,
    /// Which way.
    pub direction: Direction,
    /// How fast.
    pub rate: BitRate,
    /// Which sessions; none: the whole application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionFilter>,
}
