//! Links, addresses and routes: each function is one request to the kernel.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Netlink, NetlinkError};

/// Name of an application's end of its link.
const INSIDE: &str = "eth0";

/// Ethernet's own: what an application's program expects of `eth0`.
const MTU: u32 = 1500;

/// The kernel's number for no such link.
const ENODEV: i32 = 19;
/// File exists (errno(3)).
const EEXIST: i32 = 17;
/// No such process, which is what the kernel says of a route that is not there (errno(3)).
const ESRCH: i32 = 3;

/// A link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Number that our namespace gives to the namespace of its other end; `None`: it has none elsewhere.
    pub far: Option<i32>,
}

impl Link {
    fn of(message: &LinkMessage) -> Option<Self> {
        let name = message.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name.clone())
            } else {
                None
            }
        })?;
        let far = message.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::LinkNetNsId(id) = attribute {
                Some(*id).filter(|id| *id >= 0)
            } else {
                None
            }
        });
        Some(Self {
            name,
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            far,
        })
    }
}

/// A message about the link of this name.
pub(crate) fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    message
}

impl Netlink {
    /// Every link of the namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump(question, "list the links")?;
        Ok(answers.iter().filter_map(as_link).collect())
    }

    /// One link, or `None` where there is none of that name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let question = RouteNetlinkMessage::GetLink(named(name));
        match self.ask(question, 0, &format!("look for the link {name}")) {
            Ok(answers) => Ok(answers.iter().find_map(as_link)),
            Err(error) if error.source.raw_os_error() == Some(ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an interface that leads nowhere and carries addresses: a dummy, or a bridge without ports where the kernel
    /// was built without dummies.
    pub fn add_carrier(&mut self, name: &str) -> Result<(), NetlinkError> {
        match self.add_plain(name, InfoKind::Dummy) {
            Err(error) if error.is_unknown_kind() => self.add_plain(name, InfoKind::Bridge),
            other => other,
        }
    }

    /// Makes a link of a kind that needs no more words.
    pub fn add_plain(&mut self, name: &str, kind: InfoKind) -> Result<(), NetlinkError> {
        let operation = format!("make the interface {name} ({kind})");
        let mut message = named(name);
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        self.create(message, &operation)
    }

    /// Makes a pair of which one end is here, down, and the other is `eth0` of another namespace, in one request:
    /// there is no moment in which both ends are on the host.
    pub fn add_pair(&mut self, name: &str, namespace: BorrowedFd<'_>) -> Result<(), NetlinkError> {
        let mut inside = named(INSIDE);
        inside.attributes.push(LinkAttribute::Mtu(MTU));
        inside
            .attributes
            .push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let mut message = named(name);
        message.attributes.push(LinkAttribute::Mtu(MTU));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]));
        self.create(message, &format!("make the link {name}"))
    }

    fn create(&mut self, message: LinkMessage, operation: &str) -> Result<(), NetlinkError> {
        let question = RouteNetlinkMessage::NewLink(message);
        self.ask(question, NLM_F_CREATE | NLM_F_EXCL, operation)
            .map(drop)
    }

    /// Takes a link up.
    pub fn set_up(&mut self, link: &Link) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let question = RouteNetlinkMessage::SetLink(message);
        self.ask(question, 0, &format!("take the link {} up", link.name))
            .map(drop)
    }

    /// Deletes a link with its other end; nothing where there is none.
    pub fn delete(&mut self, name: &str) -> Result<(), NetlinkError> {
        let question = RouteNetlinkMessage::DelLink(named(name));
        match self.ask(question, 0, &format!("delete the link {name}")) {
            Err(error) if error.source.raw_os_error() == Some(ENODEV) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Gives a link an address of its own, without a route to neighbours and without asking whether it is taken.
    pub fn add_address(&mut self, link: &Link, address: IpAddr) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = bits(address);
        message.header.scope = AddressScope::Universe;
        message.header.index = link.index;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(
                AddressFlags::Nodad | AddressFlags::Noprefixroute,
            ));
        }
        let operation = format!("give {address} to the link {}", link.name);
        let question = RouteNetlinkMessage::NewAddress(message);
        self.ask(question, NLM_F_CREATE | NLM_F_REPLACE, &operation)
            .map(drop)
    }

    /// Leads one address over a link; the host's own packets to it come from `source`.
    pub fn add_route(
        &mut self,
        link: &Link,
        to: IpAddr,
        source: IpAddr,
    ) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to);
        message.header.destination_prefix_length = bits(to);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = if to.is_ipv4() {
            RouteScope::Link
        } else {
            RouteScope::Universe
        };
        message.header.kind = RouteType::Unicast;
        message
            .attributes
            .push(RouteAttribute::Destination(route_address(to)));
        message
            .attributes
            .push(RouteAttribute::PrefSource(route_address(source)));
        message.attributes.push(RouteAttribute::Oif(link.index));
        let operation = format!("lead {to} over the link {}", link.name);
        let question = RouteNetlinkMessage::NewRoute(message);
        self.ask(question, NLM_F_CREATE | NLM_F_REPLACE, &operation)
            .map(drop)
    }

    /// Makes a network end here: what no longer specific route leads on is unreachable, and never follows the default
    /// route out of the box. A route that is there already stays.
    pub fn close_network(&mut self, to: IpAddr, length: u8) -> Result<(), NetlinkError> {
        let question = RouteNetlinkMessage::NewRoute(unreachable(to, length));
        let operation = format!("make {to}/{length} unreachable");
        match self.ask(question, NLM_F_CREATE | NLM_F_EXCL, &operation) {
            Err(error) if error.source.raw_os_error() == Some(EEXIST) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes back what [`Self::close_network`] made; nothing where it is not there.
    pub fn forget_network(&mut self, to: IpAddr, length: u8) -> Result<(), NetlinkError> {
        let question = RouteNetlinkMessage::DelRoute(unreachable(to, length));
        match self.ask(
            question,
            0,
            &format!("forget that {to}/{length} is unreachable"),
        ) {
            Err(error) if error.source.raw_os_error() == Some(ESRCH) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The number that our namespace gives to another, or `None` where it has given none: no link leads there.
    pub fn namespace_number(
        &mut self,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<i32>, NetlinkError> {
        let operation = "look for the number of a namespace";
        let fd = u32::try_from(namespace.as_raw_fd()).map_err(|error| NetlinkError {
            operation: operation.to_owned(),
            source: io::Error::other(error),
        })?;
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(fd));
        let answers = self.ask(RouteNetlinkMessage::GetNsId(message), 0, operation)?;
        Ok(answers.iter().find_map(|answer| {
            let RouteNetlinkMessage::NewNsId(message) = answer else {
                return None;
            };
            message.attributes.iter().find_map(|attribute| {
                if let NsidAttribute::Id(id) = attribute {
                    Some(*id).filter(|id| *id >= 0)
                } else {
                    None
                }
            })
        }))
    }
}

fn as_link(answer: &RouteNetlinkMessage) -> Option<Link> {
    match answer {
        RouteNetlinkMessage::NewLink(message) => Link::of(message),
        _ => None,
    }
}

/// The route of type `unreachable` (ip-route(8)) for a network.
fn unreachable(to: IpAddr, length: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to);
    message.header.destination_prefix_length = length;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unreachable;
    message
        .attributes
        .push(RouteAttribute::Destination(route_address(to)));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}
