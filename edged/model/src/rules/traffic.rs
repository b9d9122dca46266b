//! A traffic rule (ETSI GS MEC 011, `TrafficRule`): which packets, and what becomes of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AddressRange, Dscp, IpProtocol, MacAddress, PortRange, RuleId};

/// What the filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterType {
    /// The first packet of a flow decides for all of it, answers included.
    Flow,
    /// Each packet by itself.
    Packet,
}

/// A kind of tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelKind {
    /// GTP-U (3GPP TS 29.281).
    GtpU,
    /// Generic routing encapsulation (RFC 2784).
    Gre,
}

/// A tunnel by its outer addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelEnds {
    /// How packets are wrapped.
    pub kind: TunnelKind,
    /// Outer source: an address of this box.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
}

/// Where packets are sent (`dstInterface`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// To this address.
    Ip(IpAddr),
    /// To this neighbour on the link layer.
    Mac {
        /// The source address to write; the sending link's own where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<MacAddress>,
        /// The neighbour.
        destination: MacAddress,
    },
    /// Into this tunnel.
    Tunnel(TunnelEnds),
}

/// What becomes of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrafficAction {
    /// They end here.
    Drop,
    /// They go their way unchanged: no rule of lower priority sees them.
    Passthrough,
    /// They are taken out of their tunnel, if they come in one, and sent there.
    ForwardDecapsulated(Destination),
    /// They are sent there as they came, tunnel included.
    ForwardEncapsulated(Destination),
    /// Decapsulated; sent to the first destination, and a copy to the second.
    DuplicateDecapsulated([Destination; 2]),
    /// As they came; sent to the first destination, and a copy to the second.
    DuplicateEncapsulated([Destination; 2]),
}

/// Which packets: every list that is not empty must have an entry that matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TrafficFilter {
    /// Source addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<AddressRange>,
    /// Destination addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination: Vec<AddressRange>,
    /// Source ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_port: Vec<PortRange>,
    /// Destination ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_port: Vec<PortRange>,
    /// Protocols.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocol: Vec<IpProtocol>,
    /// `tag`: marks that another part of the network gives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,
    /// Outer source addresses of tunnelled packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnel_source: Vec<AddressRange>,
    /// Outer destination addresses of tunnelled packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnel_destination: Vec<AddressRange>,
    /// Outer source ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnel_source_port: Vec<PortRange>,
    /// Outer destination ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnel_destination_port: Vec<PortRange>,
    /// Class identifier (QCI) of a mobile network (3GPP TS 23.203).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qci: Option<u32>,
    /// Differentiated services code point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// IPv6 traffic class (RFC 8200, 7), the whole octet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_class: Option<u8>,
}

/// A rule of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficRule {
    /// Its name within the instance.
    pub id: RuleId,
    /// What the filter looks at.
    pub filter_type: FilterType,
    /// 0 goes first, 255 last.
    pub priority: u8,
    /// A packet that matches any of them is meant; never empty.
    pub filters: Vec<TrafficFilter>,
    /// What becomes of it.
    pub action: TrafficAction,
    /// Whether it is in force.
    pub active: bool,
}
