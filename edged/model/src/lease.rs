//! Places in the application network: one small number an instance, from which every address and name follows.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The number of an instance's place: 2 to 65,533 (1 is the gateway). Link names, addresses and the user-id range follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct LeaseNumber(u16);

impl LeaseNumber {
    /// The lowest place.
    pub const FIRST: Self = Self(2);
    /// The highest place: its user-id range ends below 2^32.
    pub const LAST: Self = Self(65_533);

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }

    /// First user id of the instance's own range of 65,536 on the host: place N owns N × 65,536 onward.
    pub fn first_uid(self) -> u32 {
        u32::from(self.0) << 16
    }

    /// The lowest free place beside those taken, within a subnet of `hosts` places.
    pub fn lowest_free(taken: &std::collections::BTreeSet<Self>, hosts: u16) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0.min(hosts))
            .map(Self)
            .find(|place| !taken.contains(place))
    }
}

impl TryFrom<u16> for LeaseNumber {
    type Error = String;
    fn try_from(number: u16) -> Result<Self, String> {
        if (Self::FIRST.0..=Self::LAST.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(format!(
                "lease number {number} is outside {}..={}",
                Self::FIRST.0,
                Self::LAST.0
            ))
        }
    }
}

impl From<LeaseNumber> for u16 {
    fn from(number: LeaseNumber) -> Self {
        number.0
    }
}

/// The addresses of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The place.
    pub number: LeaseNumber,
    /// Its IPv4 address (a /32 on the link).
    pub v4: Ipv4Addr,
    /// Its IPv6 address (a /128 on the link).
    pub v6: Ipv6Addr,
}
