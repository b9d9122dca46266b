//! Addresses, ports and the other small values that a rule is made of.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ParseRuleError, by_text, refuse};

/// Addresses from `first` to `last`, of one family: written as one address, `NET/BITS` or `FIRST-LAST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }
    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }
    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }
    /// The length of the prefix that it is, where it is one.
    fn prefix(&self) -> Option<u32> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let host = first.to_bits() ^ last.to_bits();
                let whole = host & host.wrapping_add(1) == 0 && first.to_bits() & host == 0;
                whole.then_some(host.leading_zeros())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let host = first.to_bits() ^ last.to_bits();
                let whole = host & host.wrapping_add(1) == 0 && first.to_bits() & host == 0;
                whole.then_some(host.leading_zeros())
            }
            _ => None,
        }
    }
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        Self {
            first: address,
            last: address,
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        match self.prefix() {
            Some(bits) => write!(f, "{}/{bits}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for AddressRange {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let error = || {
            refuse(
                "address",
                text,
                "write one address, NET/BITS or FIRST-LAST, IPv4 or IPv6",
            )
        };
        let one = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| error());
        if let Some((net, bits)) = text.split_once('/') {
            let bits: u32 = bits.trim().parse().map_err(|_| error())?;
            return network(one(net)?, bits).ok_or_else(error);
        }
        let Some((first, last)) = text.split_once('-') else {
            return Ok(one(text)?.into());
        };
        let (first, last) = (one(first)?, one(last)?);
        if first.is_ipv4() == last.is_ipv4() && first <= last {
            Ok(Self { first, last })
        } else {
            Err(error())
        }
    }
}

by_text!(AddressRange);

fn network(net: IpAddr, bits: u32) -> Option<AddressRange> {
    match net {
        IpAddr::V4(net) => {
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = net.to_bits() & !host;
            (bits <= 32).then(|| AddressRange {
                first: Ipv4Addr::from_bits(first).into(),
                last: Ipv4Addr::from_bits(first | host).into(),
            })
        }
        IpAddr::V6(net) => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = net.to_bits() & !host;
            (bits <= 128).then(|| AddressRange {
                first: Ipv6Addr::from_bits(first).into(),
                last: Ipv6Addr::from_bits(first | host).into(),
            })
        }
    }
}

/// Ports from `first` to `last`: written as one number or `FIRST-LAST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The lowest port.
    pub fn first(&self) -> u16 {
        self.first
    }
    /// The highest port.
    pub fn last(&self) -> u16 {
        self.last
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for PortRange {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let error = || refuse("port", text, "write a number up to 65535 or FIRST-LAST");
        let one = |text: &str| text.trim().parse::<u16>().map_err(|_| error());
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (one(first)?, one(last)?),
            None => (one(text)?, one(text)?),
        };
        if first <= last {
            Ok(Self { first, last })
        } else {
            Err(error())
        }
    }
}

by_text!(PortRange);

/// A protocol above IP by its number (IANA); written as the number or the usual name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// The Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// The User Datagram Protocol.
    pub const UDP: Self = Self(17);
    const NAMES: [(&'static str, u8); 9] = [
        ("icmp", 1),
        ("tcp", 6),
        ("udp", 17),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("sctp", 132),
        ("udplite", 136),
    ];

    /// Whether its header has ports.
    pub fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for IpProtocol {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let lower = text.trim().to_ascii_lowercase();
        let named = Self::NAMES.iter().find(|(name, _)| *name == lower);
        named
            .map(|(_, number)| *number)
            .or_else(|| lower.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                refuse(
                    "protocol",
                    text,
                    "write its number, or one of icmp, tcp, udp, gre, esp, ah, icmpv6, sctp, udplite",
                )
            })
    }
}

by_text!(IpProtocol);

/// A differentiated services code point (RFC 2474), 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Dscp(u8);

impl Dscp {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Dscp {
    type Error = ParseRuleError;
    fn try_from(number: u8) -> Result<Self, ParseRuleError> {
        if number < 64 {
            Ok(Self(number))
        } else {
            Err(refuse("DSCP", &number.to_string(), "write 0 to 63"))
        }
    }
}

impl From<Dscp> for u8 {
    fn from(dscp: Dscp) -> Self {
        dscp.0
    }
}

/// A link-layer address of Ethernet, `aa:bb:cc:dd:ee:ff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, octet) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        let error = || refuse("link-layer address", text, "write it as aa:bb:cc:dd:ee:ff");
        let parts = text.split([':', '-']).map(|part| {
            (part.len() == 2)
                .then(|| u8::from_str_radix(part, 16).ok())
                .flatten()
        });
        let bytes: Vec<u8> = parts.collect::<Option<_>>().ok_or_else(error)?;
        bytes.try_into().map(Self).map_err(|_| error())
    }
}

by_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_range_is_one_address_a_network_or_two_ends() {
        for (text, first, last) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.9/24", "10.0.0.0", "10.0.0.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9"),
            ("fd00::/127", "fd00::", "fd00::1"),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert_eq!(range.first().to_string(), first);
            assert_eq!(range.last().to_string(), last);
            assert_eq!(range.to_string().parse::<AddressRange>().unwrap(), range);
        }
        for bad in [
            "",
            "host",
            "10.0.0.1/33",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-fd00::1",
            "::/129",
        ] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn ports_protocols_and_link_addresses_read_as_they_are_written() {
        assert_eq!("80".parse::<PortRange>().unwrap().to_string(), "80");
        assert_eq!("80-90".parse::<PortRange>().unwrap().last(), 90);
        assert!("90-80".parse::<PortRange>().is_err() && "70000".parse::<PortRange>().is_err());
        assert_eq!("TCP".parse::<IpProtocol>().unwrap(), IpProtocol::TCP);
        assert_eq!("89".parse::<IpProtocol>().unwrap().to_string(), "89");
        let mac: MacAddress = "02:00:00:aa:bb:CC".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:00:aa:bb:cc");
        assert!("02:00:00:aa:bb".parse::<MacAddress>().is_err());
        assert!(Dscp::try_from(64).is_err());
    }
}
