//! Policy routing, neighbours and tunnels: each function is one request to the kernel.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edged_model::MacAddress;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{InfoData, InfoGre, InfoKind, LinkAttribute, LinkInfo};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::link::{Link, named};
use crate::netlink::{Netlink, NetlinkError};

/// Before the table that everybody uses (32766) and behind the box's own addresses (0).
const PREFERENCE: u32 = 7_000;
/// The metric of a route that is there for the time when there is no other.
const LAST: u32 = u32::MAX;
/// Hops that a packet of a tunnel may make (RFC 1700).
const TTL: u8 = 64;

/// Both versions of IP.
const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

impl Netlink {
    /// Leads packets of a mark by the table of the same number, which ends here until a route is added.
    pub fn add_table(&mut self, mark: u32) -> Result<(), NetlinkError> {
        for family in FAMILIES {
            let operation = format!("lead packets marked {mark:#x}");
            let question = RouteNetlinkMessage::NewRoute(last(mark, family));
            self.ask(question, NLM_F_CREATE | NLM_F_REPLACE, &operation)?;
            let question = RouteNetlinkMessage::NewRule(rule(mark, family));
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            unless(
                io::ErrorKind::AlreadyExists,
                self.ask(question, flags, &operation),
            )?;
        }
        Ok(())
    }

    /// Takes that back with every route of the table.
    pub fn remove_table(&mut self, mark: u32) -> Result<(), NetlinkError> {
        for family in FAMILIES {
            let operation = format!("forget packets marked {mark:#x}");
            let question = RouteNetlinkMessage::DelRule(rule(mark, family));
            absent(self.ask(question, 0, &operation))?;
            let mut any = RouteMessage::default();
            any.header.address_family = family;
            any.header.scope = RouteScope::NoWhere;
            any.attributes.push(RouteAttribute::Table(mark));
            // One with a link and the last one; what is not there ends it.
            for _ in 0..2 {
                let question = RouteNetlinkMessage::DelRoute(any.clone());
                absent(self.ask(question, 0, &operation))?;
            }
        }
        Ok(())
    }

    /// The marks that packets are led by.
    pub fn tables(&mut self) -> Result<Vec<u32>, NetlinkError> {
        let mut marks = Vec::new();
        for family in FAMILIES {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let question = RouteNetlinkMessage::GetRule(message);
            for answer in self.dump(question, "list the rules of routing")? {
                let RouteNetlinkMessage::NewRule(rule) = answer else {
                    continue;
                };
                let mark = rule
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        RuleAttribute::FwMark(mark) => Some(*mark),
                        _ => None,
                    });
                let own = mark.filter(|mark| {
                    rule.attributes.contains(&RuleAttribute::Table(*mark))
                        && rule
                            .attributes
                            .contains(&RuleAttribute::Priority(PREFERENCE))
                });
                marks.extend(own);
            }
        }
        marks.sort_unstable();
        marks.dedup();
        Ok(marks)
    }

    /// Leads everything of a table over a link, to a neighbour there or, on a tunnel, to its other end.
    pub fn add_way(
        &mut self,
        mark: u32,
        link: &Link,
        neighbour: Option<(Ipv4Addr, Ipv6Addr)>,
    ) -> Result<(), NetlinkError> {
        for family in FAMILIES {
            let mut message = route(mark, family, RouteType::Unicast);
            message.header.scope = RouteScope::Universe;
            message.attributes.push(RouteAttribute::Oif(link.index));
            if let Some((v4, v6)) = neighbour {
                message.header.flags = RouteFlags::Onlink;
                let gateway = match family {
                    AddressFamily::Inet => RouteAddress::Inet(v4),
                    _ => RouteAddress::Inet6(v6),
                };
                message.attributes.push(RouteAttribute::Gateway(gateway));
            }
            let question = RouteNetlinkMessage::NewRoute(message);
            let operation = format!("lead packets marked {mark:#x} over {}", link.name);
            self.ask(question, NLM_F_CREATE | NLM_F_REPLACE, &operation)?;
        }
        Ok(())
    }

    /// Says for good which station of a link has an address.
    pub fn add_neighbour(
        &mut self,
        link: &Link,
        address: IpAddr,
        station: MacAddress,
    ) -> Result<(), NetlinkError> {
        let mut message = neighbour(link, address);
        message.header.state = NeighbourState::Permanent;
        let station_bytes = station.0.to_vec();
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(station_bytes));
        let question = RouteNetlinkMessage::NewNeighbour(message);
        let operation = format!("make {station} a neighbour on {}", link.name);
        self.ask(question, NLM_F_CREATE | NLM_F_REPLACE, &operation)
            .map(drop)
    }

    /// Takes that back; nothing where it is not there.
    pub fn remove_neighbour(&mut self, link: &Link, address: IpAddr) -> Result<(), NetlinkError> {
        let question = RouteNetlinkMessage::DelNeighbour(neighbour(link, address));
        let operation = format!("forget the neighbour {address} on {}", link.name);
        absent(self.ask(question, 0, &operation))
    }

    /// Makes a tunnel (GRE, RFC 2784) between two addresses; one that is there stays.
    pub fn add_tunnel(
        &mut self,
        name: &str,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let mut message = named(name);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::GreTun),
            LinkInfo::Data(InfoData::GreTun(vec![
                InfoGre::Local(source),
                InfoGre::Remote(destination),
                InfoGre::Ttl(TTL),
                InfoGre::PathMTUDiscovery(true),
            ])),
        ]));
        let question = RouteNetlinkMessage::NewLink(message);
        let operation = format!("make the tunnel {name} from {source} to {destination}");
        unless(
            io::ErrorKind::AlreadyExists,
            self.ask(question, NLM_F_CREATE | NLM_F_EXCL, &operation),
        )
    }
}

fn rule(mark: u32, family: AddressFamily) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(PREFERENCE),
        RuleAttribute::FwMark(mark),
        RuleAttribute::FwMask(u32::MAX),
        RuleAttribute::Table(mark),
    ];
    message
}

/// A default route of a table.
fn route(mark: u32, family: AddressFamily, kind: RouteType) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = kind;
    message.attributes.push(RouteAttribute::Table(mark));
    message
}

/// Nothing follows the default route out of the box because its own way is gone.
fn last(mark: u32, family: AddressFamily) -> RouteMessage {
    let mut message = route(mark, family, RouteType::Unreachable);
    message.attributes.push(RouteAttribute::Priority(LAST));
    message
}

fn neighbour(link: &Link, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = link.index;
    message
        .attributes
        .push(NeighbourAttribute::Destination(address.into()));
    message
}

/// What was to be made and is there is no error.
fn unless<T>(kind: io::ErrorKind, result: Result<T, NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.source.kind() == kind => Ok(()),
        other => other.map(drop),
    }
}

/// What was to be taken away and is not there is no error.
fn absent<T>(result: Result<T, NetlinkError>) -> Result<(), NetlinkError> {
    /// No such process, which is what the kernel says of a route that is not there (errno(3)).
    const ESRCH: i32 = 3;
    match result {
        Err(error) if error.source.raw_os_error() == Some(ESRCH) => Ok(()),
        other => unless(io::ErrorKind::NotFound, other),
    }
}
