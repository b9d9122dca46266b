//! Connections that are there already when a traffic rule comes or goes.
//!
//! Where a connection leads is decided by its first packet and kept in the kernel's connection table. When rules that
//! lead flows change, the entries that the changed rules are about are deleted: the next packet of each connection is a
//! first packet again.

use std::io;
use std::net::IpAddr;

use edged_model::{AddressRange, PortRange, TrafficFilter};
use edged_protocol::guardian::OwnedRule;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use crate::netlink::NetlinkError;
use crate::nfnetlink::{attribute, messages, request, written};

// linux/netfilter/nfnetlink_conntrack.h.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const ID: u16 = 12;
/// An attribute that holds others (`NLA_F_NESTED` of linux/netlink.h).
const NESTED: u16 = 1 << 15;
/// Control messages of netlink(7): the answer to a request, and the end of a list.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The kernel's number for an entry that is not there any more.
const ENOENT: i32 = 2;

/// How the first packet of a connection was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

/// Deletes the connections that one of these rules is about; how many.
pub fn forget(rules: &[&OwnedRule]) -> Result<usize, NetlinkError> {
    let forget = || {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let dump = request(GET, NLM_F_REQUEST | NLM_F_DUMP, 0, &[]);
        let mut found = Vec::new();
        ask(&socket, &dump, |family, attributes| {
            if let Some(request) = deletion(family, attributes, rules) {
                found.push(request);
            }
        })?;
        for request in &found {
            match ask(&socket, request, |_, _| {}) {
                Err(error) if error.raw_os_error() == Some(ENOENT) => {}
                other => other?,
            }
        }
        Ok(found.len())
    };
    forget().map_err(|source: io::Error| NetlinkError {
        operation: "let connections begin anew that a traffic rule is about".to_owned(),
        source,
    })
}

/// The request that deletes an entry, where a rule is about it.
fn deletion(family: u8, attributes: &[u8], rules: &[&OwnedRule]) -> Option<Vec<u8>> {
    let tuple = attribute(attributes, TUPLE_ORIGINAL)?;
    let first = First::read(tuple)?;
    let mut filters = rules.iter().flat_map(|owned| &owned.rule.filters);
    if !filters.any(|filter| first.is_meant(filter)) {
        return None;
    }
    let mut which = written(TUPLE_ORIGINAL | NESTED, tuple);
    which.extend(written(ID, attribute(attributes, ID)?));
    Some(request(DELETE, NLM_F_REQUEST | NLM_F_ACK, family, &which))
}

/// Sends a request and gives every message of the answer to `each`.
fn ask(socket: &Socket, request: &[u8], mut each: impl FnMut(u8, &[u8])) -> io::Result<()> {
    socket.send(request, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for message in messages(&datagram) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => {
                    // The number stands where other messages have their family.
                    let code = datagram.get(16..20).and_then(|code| code.try_into().ok());
                    return match code.map(i32::from_ne_bytes) {
                        Some(0) | None => Ok(()),
                        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    };
                }
                _ => each(message.family, message.attributes),
            }
        }
    }
}

impl First {
    fn read(tuple: &[u8]) -> Option<Self> {
        // CTA_TUPLE_IP with CTA_IP_V4_SRC, _DST, CTA_IP_V6_SRC, _DST; CTA_TUPLE_PROTO with number and ports.
        let (ip, transport) = (attribute(tuple, 1)?, attribute(tuple, 2)?);
        let address = |v4, v6| {
            let v4 = attribute(ip, v4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            let v6 = attribute(ip, v6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            v4.map(IpAddr::from).or_else(|| v6.map(IpAddr::from))
        };
        let port = |kind| {
            let bytes =
                attribute(transport, kind).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
            bytes.map(u16::from_be_bytes).unwrap_or_default()
        };
        Some(Self {
            source: address(1, 3)?,
            destination: address(2, 4)?,
            protocol: attribute(transport, 1)?.first().copied()?,
            source_port: port(2),
            destination_port: port(3),
        })
    }

    /// Whether a filter can mean the connection; what the table does not know of it is not asked.
    fn is_meant(&self, filter: &TrafficFilter) -> bool {
        let address = |ranges: &[AddressRange], address| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(address))
        };
        let port = |ranges: &[PortRange], port| {
            let within = |range: &PortRange| (range.first()..=range.last()).contains(&port);
            ranges.is_empty() || ranges.iter().any(within)
        };
        if edged_net::looks_at_tunnels(filter) {
            return address(&filter.tunnel_source, self.source)
                && address(&filter.tunnel_destination, self.destination);
        }
        let protocols = &filter.protocol;
        address(&filter.source, self.source)
            && address(&filter.destination, self.destination)
            && port(&filter.source_port, self.source_port)
            && port(&filter.destination_port, self.destination_port)
            && (protocols.is_empty() || protocols.iter().any(|p| p.0 == self.protocol))
    }
}
