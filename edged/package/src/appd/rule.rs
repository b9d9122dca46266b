//! Traffic and DNS rules that an application brings (MEC 010-2, 6.2.1.9 to 6.2.1.13).

use std::fmt;
use std::net::IpAddr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How packets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FilterType {
    /// Both directions of a flow alike.
    Flow,
    /// Each packet alone.
    Packet,
}

/// What happens to what matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficRuleAction {
    /// It is thrown away.
    Drop,
    /// It goes elsewhere, without its tunnel.
    ForwardDecapsulated,
    /// It goes elsewhere, in a tunnel.
    ForwardEncapsulated,
    /// It goes on as it would have.
    Passthrough,
    /// A copy goes elsewhere, without its tunnel.
    DuplicateDecapsulated,
    /// A copy goes elsewhere, in a tunnel.
    DuplicateEncapsulated,
}

impl TrafficRuleAction {
    /// How many destinations the action takes (MEC 010-2, 6.2.1.9, `dstInterface`).
    fn destinations(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Drop => 0..=0,
            Self::Passthrough => 0..=1,
            Self::ForwardDecapsulated | Self::ForwardEncapsulated => 1..=1,
            Self::DuplicateDecapsulated | Self::DuplicateEncapsulated => 2..=2,
        }
    }
}

/// A traffic rule of the descriptor; whether the box's kernel can do it is asked elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficRuleDescriptor {
    /// Unique in the descriptor.
    #[serde(alias = "traffic_rule_id")]
    pub traffic_rule_id: String,
    /// How packets are looked at.
    #[serde(alias = "filter_type")]
    pub filter_type: FilterType,
    /// Order among rules; 0 goes first.
    pub priority: u8,
    /// A packet must match one of them.
    #[serde(alias = "traffic_filter")]
    pub traffic_filter: Vec<TrafficFilter>,
    /// What happens to it.
    pub action: TrafficRuleAction,
    /// Where it goes; on the wire one object, or a list of two.
    #[serde(
        default,
        alias = "dst_interface",
        with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dst_interface: Vec<InterfaceDescriptor>,
}

/// What a rule applies to: all members given must match, within a list one entry is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TrafficFilter {
    /// IP addresses, networks or ranges.
    #[serde(
        alias = "src_address",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub src_address: Vec<String>,
    /// As `srcAddress`.
    #[serde(
        alias = "dst_address",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dst_address: Vec<String>,
    /// Ports or ranges.
    #[serde(
        alias = "src_port",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub src_port: Vec<String>,
    /// As `srcPort`.
    #[serde(
        alias = "dst_port",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dst_port: Vec<String>,
    /// Names or numbers of protocols above IP.
    #[serde(deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub protocol: Vec<String>,
    /// Tags.
    #[serde(
        alias = "token",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tag: Vec<String>,
    /// Addresses in the application's own protocol.
    #[serde(deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub uri: Vec<String>,
    /// Labels that the owner of the platform gives packets.
    #[serde(
        alias = "packet_label",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub packet_label: Vec<String>,
    /// Source addresses of the tunnel.
    #[serde(
        alias = "src_tunnel_address",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub src_tunnel_address: Vec<String>,
    /// Destination addresses of the tunnel.
    #[serde(
        alias = "tgt_tunnel_address",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tgt_tunnel_address: Vec<String>,
    /// Source ports of the tunnel.
    #[serde(
        alias = "src_tunnel_port",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub src_tunnel_port: Vec<String>,
    /// Destination ports of the tunnel.
    #[serde(
        alias = "dst_tunnel_port",
        deserialize_with = "texts",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dst_tunnel_port: Vec<String>,
    /// Class of the mobile network's bearer.
    #[serde(rename = "qCI", alias = "qci", skip_serializing_if = "Option::is_none")]
    pub qci: Option<u32>,
    /// DSCP of IPv4 packets.
    #[serde(
        rename = "dSCP",
        alias = "dscp",
        skip_serializing_if = "Option::is_none"
    )]
    pub dscp: Option<u32>,
    /// Traffic class of IPv6 packets.
    #[serde(rename = "tC", alias = "tc", skip_serializing_if = "Option::is_none")]
    pub tc: Option<u32>,
}

/// How a destination is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InterfaceType {
    /// By a tunnel.
    Tunnel,
    /// By a MAC address.
    Mac,
    /// By an IP address.
    Ip,
}

/// Where packets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterfaceDescriptor {
    /// How it is named.
    #[serde(alias = "interface_type")]
    pub interface_type: InterfaceType,
    /// The tunnel, for `TUNNEL`.
    #[serde(
        alias = "tunnel_info",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub tunnel_info: Option<TunnelInfo>,
    /// The sender's MAC address, for `MAC`.
    #[serde(
        rename = "srcMACAddress",
        alias = "src_mac_address",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub src_mac_address: Option<String>,
    /// The receiver's MAC address, for `MAC`.
    #[serde(
        rename = "dstMACAddress",
        alias = "dst_mac_address",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub dst_mac_address: Option<String>,
    /// The receiver's IP address, for `IP`.
    #[serde(
        rename = "dstIPAddress",
        alias = "dst_ip_address",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub dst_ip_address: Option<IpAddr>,
}

/// Kinds of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelType {
    /// GPRS tunnelling protocol, user plane (MEC 011 writes `GTP_U`).
    #[serde(rename = "GTP-U", alias = "GTP_U")]
    GtpU,
    /// Generic routing encapsulation.
    #[serde(rename = "GRE")]
    Gre,
}

/// A tunnel that packets go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelInfo {
    /// Its kind.
    #[serde(alias = "tunnel_type")]
    pub tunnel_type: TunnelType,
    /// The far end.
    #[serde(alias = "tunnel_dst_address")]
    pub tunnel_dst_address: IpAddr,
    /// The near end.
    #[serde(alias = "tunnel_src_address")]
    pub tunnel_src_address: IpAddr,
    /// What else this kind of tunnel needs.
    #[serde(
        alias = "tunnel_specific_data",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub tunnel_specific_data: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The family of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpAddressType {
    /// IPv6.
    #[serde(rename = "IP_V6")]
    V6,
    /// IPv4.
    #[serde(rename = "IP_V4")]
    V4,
}

/// A name that the resolver answers for the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsRuleDescriptor {
    /// Unique in the descriptor.
    #[serde(alias = "dns_rule_id")]
    pub dns_rule_id: String,
    /// The name.
    #[serde(alias = "domain_name")]
    pub domain_name: String,
    /// The family of the address.
    #[serde(alias = "ip_address_type")]
    pub ip_address_type: IpAddressType,
    /// The answer.
    #[serde(alias = "ip_address")]
    pub ip_address: IpAddr,
    /// Seconds that the answer may be kept; absent is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

/// The field at fault, as TOSCA writes it, and why.
pub(crate) type Fault = (&'static str, &'static str);

impl TrafficRuleDescriptor {
    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.traffic_rule_id.is_empty() {
            return Some(("traffic_rule_id", "this must not be empty; name the rule"));
        }
        if self.traffic_filter.is_empty() {
            return Some((
                "traffic_filter",
                "a rule needs at least one filter; add one",
            ));
        }
        if !self
            .action
            .destinations()
            .contains(&self.dst_interface.len())
        {
            return Some((
                "dst_interface",
                "DROP takes no destination, FORWARD_… one, DUPLICATE_… two; correct the list",
            ));
        }
        self.dst_interface
            .iter()
            .find_map(InterfaceDescriptor::fault)
    }
}

impl InterfaceDescriptor {
    fn fault(&self) -> Option<Fault> {
        let complete = match self.interface_type {
            InterfaceType::Tunnel => self.tunnel_info.is_some(),
            InterfaceType::Mac => self.dst_mac_address.is_some(),
            InterfaceType::Ip => self.dst_ip_address.is_some(),
        };
        (!complete).then_some((
            "dst_interface",
            "TUNNEL needs tunnel_info, MAC needs dst_mac_address, IP needs dst_ip_address; add it",
        ))
    }
}

impl DnsRuleDescriptor {
    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.dns_rule_id.is_empty() {
            return Some(("dns_rule_id", "this must not be empty; name the rule"));
        }
        if !is_domain_name(&self.domain_name) {
            return Some((
                "domain_name",
                "this is no domain name; write labels separated by dots",
            ));
        }
        let family_fits = match self.ip_address_type {
            IpAddressType::V4 => self.ip_address.is_ipv4(),
            IpAddressType::V6 => self.ip_address.is_ipv6(),
        };
        (!family_fits).then_some((
            "ip_address",
            "the address is not of the family that ip_address_type says; correct one of them",
        ))
    }
}

/// RFC 1035, 2.3.4, and underscores as in service names.
fn is_domain_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(alphabet)
                && !label.starts_with('-')
        })
}

/// A list of texts in which YAML writers leave numbers bare: ports, protocols, tags.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a whole number")]
    enum Scalar {
        Text(String),
        Number(u64),
    }
    let scalars: Option<Vec<Scalar>> = Option::deserialize(deserializer)?;
    Ok(scalars
        .into_iter()
        .flatten()
        .map(|scalar| match scalar {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
        })
        .collect())
}

/// One object or a list of them.
mod one_or_more {
    use super::{
        Deserialize, Deserializer, InterfaceDescriptor, SeqAccess, Serialize, Serializer, Visitor,
        de, fmt,
    };

    pub(super) fn serialize<S: Serializer>(
        list: &[InterfaceDescriptor],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match list {
            [one] => one.serialize(serializer),
            more => more.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<InterfaceDescriptor>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<InterfaceDescriptor>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an interface or a list of interfaces")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                InterfaceDescriptor::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|one| vec![one])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(one) = seq.next_element()? {
                    list.push(one);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
