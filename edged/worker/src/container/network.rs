//! The inside of a container's network: loopback, its own address, the way out. Straight netlink (rtnetlink(7)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::Path;

use edged_protocol::worker::ContainerNetwork;
use nix::sched::CloneFlags;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Error;
use crate::place::Place;

/// The link that the guardian puts into the container.
const LINK: &str = "eth0";
/// A reply to one request: an acknowledgement is 36 bytes.
const REPLY_MAX: usize = 4096;

const NLM_F_REQUEST_ACK: u16 = 0x5;
const NLM_F_CREATE_REPLACE: u16 = 0x500;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTNH_F_ONLINK: u32 = 4;

/// Enters the container's network namespace for good and sets it up. For a helper process.
pub fn set_up(place: &Place, network: &ContainerNetwork) -> Result<(), Error> {
    let namespace = fs::File::open(&place.netns).map_err(Error::path("open", &place.netns))?;
    nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNET)
        .map_err(Error::path("enter", &place.netns))?;
    let netlink = Netlink::open()?;
    let link = netlink.index(LINK).map_err(|_| {
        Error::Busy(format!(
            "the link {LINK} is not attached to {}; attach it before the start",
            place.instance
        ))
    })?;
    quiet(Path::new("/proc/sys/net/ipv6/conf/eth0"));
    netlink.up(netlink.index("lo")?)?;
    netlink.up(link)?;
    netlink.address(link, network.lease.v4.into())?;
    netlink.default_route(link, network.gateway_v4.into())?;
    // A kernel without IPv6 has no such folder, and an application there has IPv4 alone.
    if Path::new("/proc/sys/net/ipv6").exists() {
        netlink.address(link, network.lease.v6.into())?;
        netlink.default_route(link, network.gateway_v6.into())?;
    }
    Ok(())
}

/// The addresses are leases: nobody else can have them, and nobody on the link hands out others.
fn quiet(conf: &Path) {
    for name in ["accept_dad", "accept_ra", "router_solicitations"] {
        // Absent where the kernel has no IPv6; the address itself says "no detection" as well.
        let _ = fs::write(conf.join(name), "0");
    }
}

struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> Result<Self, Error> {
        rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )
        .map(Self)
        .map_err(Error::kernel("open netlink"))
    }

    fn index(&self, name: &str) -> Result<u32, Error> {
        rustix::net::netdevice::name_to_index(&self.0, name).map_err(Error::kernel("find a link"))
    }

    fn up(&self, link: u32) -> Result<(), Error> {
        const IFF_UP: u32 = 1;
        // struct ifinfomsg: family and type 0, index, flags, mask of the flags that change.
        let mut body = vec![0; 4];
        body.extend(link.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        self.ask(RTM_NEWLINK, NLM_F_REQUEST_ACK, &body, "bring a link up")
    }

    fn address(&self, link: u32, address: IpAddr) -> Result<(), Error> {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let (family, bytes, whole) = parts(address);
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        let mut body = vec![family, whole, flags, 0];
        body.extend(link.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, &bytes);
        attribute(&mut body, IFA_ADDRESS, &bytes);
        self.ask(
            RTM_NEWADDR,
            NLM_F_REQUEST_ACK | NLM_F_CREATE_REPLACE,
            &body,
            "set the container's address",
        )
    }

    fn default_route(&self, link: u32, gateway: IpAddr) -> Result<(), Error> {
        // struct rtmsg: family, no prefixes, TOS 0, main table 254, protocol static 4, scope universe 0, unicast 1.
        let (family, bytes, _) = parts(gateway);
        let mut body = vec![family, 0, 0, 0, 254, 4, 0, 1];
        body.extend(RTNH_F_ONLINK.to_ne_bytes());
        attribute(&mut body, RTA_GATEWAY, &bytes);
        attribute(&mut body, RTA_OIF, &link.to_ne_bytes());
        self.ask(
            RTM_NEWROUTE,
            NLM_F_REQUEST_ACK | NLM_F_CREATE_REPLACE,
            &body,
            "set the container's default route",
        )
    }

    fn ask(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        operation: &'static str,
    ) -> Result<(), Error> {
        // struct nlmsghdr: length, type, flags, sequence, port.
        let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        rustix::net::sendto(
            &self.0,
            &message,
            SendFlags::empty(),
            &SocketAddrNetlink::new(0, 0),
        )
        .map_err(Error::kernel(operation))?;
        let mut reply = vec![0; REPLY_MAX];
        let (len, _) = rustix::net::recv(&self.0, &mut reply[..], RecvFlags::empty())
            .map_err(Error::kernel(operation))?;
        let reply = reply.get(..len).unwrap_or_default();
        let kind = reply
            .get(4..6)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u16::from_ne_bytes);
        let code = reply
            .get(16..20)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_ne_bytes);
        match (kind, code) {
            (Some(NLMSG_ERROR), Some(0)) => Ok(()),
            (Some(NLMSG_ERROR), Some(code)) => Err(Error::kernel(operation)(
                std::io::Error::from_raw_os_error(code.saturating_neg()),
            )),
            _ => Err(Error::Busy(format!(
                "cannot {operation}: the kernel's answer is not understood"
            ))),
        }
    }
}

fn parts(address: IpAddr) -> (u8, Vec<u8>, u8) {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    match address {
        IpAddr::V4(v4) => (
            AF_INET,
            v4.octets().to_vec(),
            u8::try_from(Ipv4Addr::BITS).unwrap_or(32),
        ),
        IpAddr::V6(v6) => (
            AF_INET6,
            v6.octets().to_vec(),
            u8::try_from(Ipv6Addr::BITS).unwrap_or(128),
        ),
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    // Every value here is a multiple of four bytes long: no padding.
}
