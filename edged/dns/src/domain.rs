//! Names: what may be asked for and how the table keys it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::rr::Name;

/// The longest zone name on the wire. The longest name beneath it is `INSTANCE._SERVICE._tcp.ZONE`: 64 + 64 + 5
/// octets before the zone, of the 255 that RFC 1035 allows.
const ZONE_WIRE_MAX: usize = 122;
/// The longest name on the wire (RFC 1035, 2.3.4).
pub(crate) const WIRE_MAX: usize = 255;
/// The longest label (RFC 1035, 2.3.4).
pub(crate) const LABEL_MAX: usize = 63;

/// Why a text is not a name this server can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Outside the small alphabet, an empty label, or too long.
    #[error(
        "domain name {0:?} must be labels of letters, digits, '-' and '_' (1 to 63 each, 253 in all) joined by dots"
    )]
    Syntax(String),
    /// The zone must leave room for the names beneath it.
    #[error("zone {0:?} is too long, choose one of at most 120 characters")]
    ZoneLength(String),
    /// The zone's own names are a view of the instances, never of rules.
    #[error("domain name {name} belongs to zone {zone} itself, choose another name for the rule")]
    Reserved {
        /// The name the rule asked for.
        name: Box<Domain>,
        /// The zone or reverse zone that owns it.
        zone: Box<Domain>,
    },
    /// A prefix length that the address family does not have.
    #[error(
        "subnet {0:?} must be ADDRESS/PREFIX with a prefix of 1 to 32 (IPv4) or 1 to 128 (IPv6)"
    )]
    Subnet(String),
}

/// A fully qualified domain name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Name);

impl Domain {
    /// The name as the DNS library knows it.
    pub(crate) fn name(&self) -> &Name {
        &self.0
    }

    /// The key of the table: the name on the wire, in lower case, uncompressed.
    pub(crate) fn wire(&self) -> Box<[u8]> {
        wire(&self.0)
    }

    /// Whether this name is `parent` or beneath it.
    pub fn is_beneath(&self, parent: &Domain) -> bool {
        parent.0.zone_of(&self.0)
    }

    /// `label.self`. The label must be lower case.
    pub(crate) fn child(&self, label: &str) -> Result<Domain, DomainError> {
        let bad = |_| DomainError::Syntax(format!("{label}.{self}"));
        let mut name = self.0.prepend_label(label.as_bytes()).map_err(bad)?;
        name.set_fqdn(true);
        Ok(Self(name))
    }

    /// The name one label up; the root is its own parent.
    pub(crate) fn parent(&self) -> Domain {
        Domain(self.0.base_name())
    }

    /// The name that maps `address` back: in `in-addr.arpa` or `ip6.arpa`.
    pub(crate) fn reverse(address: IpAddr) -> Domain {
        Domain(Name::from(address))
    }

    /// This name without its first `count` labels.
    fn without(&self, count: usize) -> Domain {
        (0..count).fold(self.clone(), |name, _| name.parent())
    }
}

/// The key of a name: on the wire, in lower case, uncompressed.
pub(crate) fn wire(name: &Name) -> Box<[u8]> {
    let mut wire = Vec::with_capacity(WIRE_MAX);
    for label in name {
        // A parsed name has no label over 63 octets, so the conversion always holds.
        wire.extend(u8::try_from(label.len()));
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    wire.into()
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_ascii();
        f.pad(text.strip_suffix('.').unwrap_or(&text))
    }
}

impl FromStr for Domain {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        let bad = || DomainError::Syntax(text.to_owned());
        let labels = text.strip_suffix('.').unwrap_or(text);
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let good =
            |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.chars().all(letter);
        if !labels.split('.').all(good) || labels.len() + 2 > WIRE_MAX {
            return Err(bad());
        }
        let mut name = Name::from_ascii(labels.to_ascii_lowercase()).map_err(|_| bad())?;
        name.set_fqdn(true);
        Ok(Self(name))
    }
}

/// A network whose addresses map back to instance names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Takes `address` with `prefix` bits of network; bits of the host are ignored.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, DomainError> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if (1..=longest).contains(&prefix) {
            Ok(Self { address, prefix })
        } else {
            Err(DomainError::Subnet(format!("{address}/{prefix}")))
        }
    }

    /// The reverse zones that cover exactly this network: one, or several when the prefix ends inside a label
    /// (at most 128, for a prefix one bit into an octet).
    pub(crate) fn reverse_zones(self) -> Vec<Domain> {
        let (step, bits) = if self.address.is_ipv4() {
            (8, 32)
        } else {
            (4, 128)
        };
        let boundary = self.prefix.div_ceil(step) * step;
        let count = 1_u128 << (boundary - self.prefix);
        let first = self.network(bits);
        let labels_above = usize::from((bits - boundary) / step);
        (0..count)
            .map(|index| first | shift_left(index, bits - boundary))
            .map(|value| Domain::reverse(self.address_of(value)).without(labels_above))
            .collect()
    }

    /// Whether `address` is one of this network's.
    pub fn contains(self, address: IpAddr) -> bool {
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        let same_family = address.is_ipv4() == self.address.is_ipv4();
        same_family
            && Self {
                address,
                prefix: self.prefix,
            }
            .network(bits)
                == self.network(bits)
    }

    /// The address of the network as a number, bits of the host zero.
    fn network(self, bits: u8) -> u128 {
        let value = match self.address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let host = u32::from(bits - self.prefix);
        value.checked_shr(host).map_or(0, |network| network << host)
    }

    fn address_of(self, value: u128) -> IpAddr {
        match self.address {
            // An IPv4 network never has bits above the 32nd.
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(value).unwrap_or_default().into()),
            IpAddr::V6(_) => IpAddr::V6(value.into()),
        }
    }
}

fn shift_left(value: u128, by: u8) -> u128 {
    value.checked_shl(u32::from(by)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        let bad = || DomainError::Subnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        Self::new(
            address.parse().map_err(|_| bad())?,
            prefix.parse().map_err(|_| bad())?,
        )
        .map_err(|_| bad())
    }
}

/// The names this server answers for: the site's zone and the reverse zones of the applications' networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    apex: Domain,
    reverse: Vec<Domain>,
}

impl Zone {
    /// The zone `apex`, e.g. `edge.mec.internal`, with the reverse zones of `subnets`.
    pub fn new(apex: &str, subnets: &[Subnet]) -> Result<Self, DomainError> {
        let apex: Domain = apex.parse()?;
        if apex.wire().len() > ZONE_WIRE_MAX {
            return Err(DomainError::ZoneLength(apex.to_string()));
        }
        let mut reverse: Vec<_> = subnets
            .iter()
            .flat_map(|subnet| subnet.reverse_zones())
            .collect();
        reverse.sort();
        reverse.dedup();
        Ok(Self { apex, reverse })
    }

    /// The name of the zone.
    pub fn apex(&self) -> &Domain {
        &self.apex
    }

    /// The apexes of the reverse zones.
    pub(crate) fn reverse(&self) -> &[Domain] {
        &self.reverse
    }

    /// The name for a rule, unless it is one of those that are derived from instances and services: the apex, `ns`,
    /// all beneath `app`, `_tcp`, `_udp`, and the reverse zones.
    ///
    /// # Errors
    /// [`DomainError::Reserved`], so that no application can take another's name by a rule.
    pub(crate) fn admit(&self, name: Domain) -> Result<Domain, DomainError> {
        let reserved = |zone: &Domain| DomainError::Reserved {
            name: Box::new(name.clone()),
            zone: Box::new(zone.clone()),
        };
        if let Some(zone) = self.reverse.iter().find(|zone| name.is_beneath(zone)) {
            return Err(reserved(zone));
        }
        if name == self.apex {
            return Err(reserved(&self.apex));
        }
        for label in ["ns", "app", "_tcp", "_udp"] {
            if name.is_beneath(&self.apex.child(label)?) {
                return Err(reserved(&self.apex));
            }
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        text.parse().unwrap()
    }

    #[test]
    fn a_domain_is_lower_case_and_its_last_dot_is_free() {
        assert_eq!(domain("WWW.Example.COM."), domain("www.example.com"));
        assert_eq!(&*domain("a.BC").wire(), b"\x01a\x02bc\x00");
        assert_eq!(domain("A.b").to_string(), "a.b");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        let long = format!("{}.x", "a".repeat(64));
        let whole = "abcdefg.".repeat(32);
        for bad in [
            "", ".", "a..b", ".a", "*.a", "a b", "ä.de", "a/b", &long, &whole,
        ] {
            assert!(bad.parse::<Domain>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_subnet_has_the_reverse_zones_that_cover_it_and_no_more() {
        let zones = |text: &str| {
            let subnet: Subnet = text.parse().unwrap();
            subnet
                .reverse_zones()
                .iter()
                .map(Domain::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(zones("10.88.0.0/16"), ["88.10.in-addr.arpa"]);
        assert_eq!(
            zones("10.88.4.7/23"),
            ["4.88.10.in-addr.arpa", "5.88.10.in-addr.arpa"]
        );
        assert_eq!(zones("10.0.0.7/32"), ["7.0.0.10.in-addr.arpa"]);
        assert_eq!(
            zones("fd00:1:2:3::/64"),
            ["3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"]
        );
        assert_eq!(zones("fd00::/15").len(), 2);
        assert_eq!(zones("128.0.0.0/1").len(), 128);
    }

    #[test]
    fn a_subnet_needs_a_prefix_of_its_family() {
        for bad in [
            "10.0.0.0",
            "10.0.0.0/0",
            "10.0.0.0/33",
            "fd00::/129",
            "x/8",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad:?} was taken");
        }
        let subnet: Subnet = "10.88.0.0/20".parse().unwrap();
        assert!(subnet.contains("10.88.15.255".parse().unwrap()));
        assert!(!subnet.contains("10.88.16.0".parse().unwrap()));
        assert!(!subnet.contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn a_rule_never_takes_a_name_that_belongs_to_an_instance() {
        let zone = Zone::new("edge.mec.internal", &["10.88.0.0/16".parse().unwrap()]).unwrap();
        let own = [
            "edge.mec.internal",
            "ns.edge.mec.internal",
            "x.app.edge.mec.internal",
            "_tcp.edge.mec.internal",
        ];
        for bad in own.into_iter().chain(["1.0.88.10.in-addr.arpa"]) {
            assert!(
                matches!(zone.admit(domain(bad)), Err(DomainError::Reserved { .. })),
                "{bad} was taken"
            );
        }
        for good in [
            "printer.edge.mec.internal",
            "mec.internal",
            "www.example.com",
            "myapp.edge.mec.internal",
        ] {
            assert!(zone.admit(domain(good)).is_ok(), "{good} was refused");
        }
    }

    #[test]
    fn a_zone_leaves_room_for_its_longest_names() {
        let apex = format!("{}.{}", "a".repeat(60), "b".repeat(59));
        let zone = Zone::new(&apex, &[]).unwrap();
        let tcp = zone.apex().child("_tcp").unwrap();
        let service = tcp.child(&format!("_{}", "s".repeat(62))).unwrap();
        assert!(service.child(&"i".repeat(63)).is_ok());
        assert!(Zone::new(&format!("{apex}xx"), &[]).is_err());
    }
}
