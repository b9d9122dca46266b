//! nft's words for the values of a policy.

use std::fmt::{self, Display, Write};
use std::net::IpAddr;

use edged_model::{AddressRange, PortRange};

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// nft's word for its header and for tables of it alone.
    pub fn word(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// nft's word in `meta nfproto`.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// nft's name of the type of its addresses.
    pub fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }

    /// What ends the names of its sets.
    pub fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }
}

/// `{ a, b }`; `None` where there is nothing, which nft does not take for a set.
pub fn set<T: Display>(elements: impl IntoIterator<Item = T>) -> Option<String> {
    let elements: Vec<String> = elements.into_iter().map(|e| e.to_string()).collect();
    (!elements.is_empty()).then(|| format!("{{ {} }}", elements.join(", ")))
}

/// One value as it is, several as a set: a set costs the kernel more than a comparison.
pub fn one_of<T: Display>(values: &[T]) -> Option<String> {
    match values {
        [one] => Some(one.to_string()),
        more => set(more),
    }
}

/// A line of the transaction.
pub fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{arguments}");
}

/// Numbers from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u128, pub u128);

impl Span {
    /// The addresses of one family among ranges.
    pub fn addresses(ranges: &[AddressRange], family: Family) -> Vec<Self> {
        let number = |address| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let of_family = ranges
            .iter()
            .filter(|range| Family::of(range.first()) == family);
        united(of_family.map(|range| Self(number(range.first()), number(range.last()))))
    }

    /// Ports.
    pub fn ports(ranges: &[PortRange]) -> Vec<Self> {
        united(
            ranges
                .iter()
                .map(|range| Self(range.first().into(), range.last().into())),
        )
    }

    /// In nft's words, each number written by `write`.
    pub fn text(self, write: impl Fn(u128) -> String) -> String {
        let Self(first, last) = self;
        if first == last {
            write(first)
        } else {
            format!("{}-{}", write(first), write(last))
        }
    }
}

/// Without overlaps, which nft refuses in a set.
fn united(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.collect();
    spans.sort_unstable();
    let mut united: Vec<Span> = Vec::new();
    for span in spans {
        match united.last_mut() {
            Some(last) if span.0 <= last.1.saturating_add(1) => last.1 = last.1.max(span.1),
            _ => united.push(span),
        }
    }
    united
}

/// An address by its number.
pub fn address(number: u128, family: Family) -> String {
    match family {
        Family::V4 => {
            std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).to_string()
        }
        Family::V6 => std::net::Ipv6Addr::from_bits(number).to_string(),
    }
}
