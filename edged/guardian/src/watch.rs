//! News of changes that others make to rules and links.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use crate::netlink::NetlinkError;

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const GROUP_NFTABLES: u32 = 7;
/// `RTNLGRP_LINK` of linux/rtnetlink.h.
const GROUP_LINK: u32 = 1;

/// Two sockets that the kernel writes its changes to. What they were is not read: the state is.
pub struct Watch {
    rules: Socket,
    links: Socket,
}

/// Which changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Something of nftables.
    pub rules: bool,
    /// Some link.
    pub links: bool,
}

impl Watch {
    /// Subscribes.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = |protocol, group| {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.add_membership(group)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        let error = |source: io::Error| NetlinkError {
            operation: "watch the network".to_owned(),
            source,
        };
        Ok(Self {
            rules: open(NETLINK_NETFILTER, GROUP_NFTABLES).map_err(error)?,
            links: open(NETLINK_ROUTE, GROUP_LINK).map_err(error)?,
        })
    }

    /// Readable when there is news.
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.rules.as_fd(), self.links.as_fd()]
    }

    /// Takes all news.
    pub fn drain(&self) -> Changes {
        Changes {
            rules: drain(&self.rules),
            links: drain(&self.links),
        }
    }

    /// Takes the news of rules and does not care.
    pub fn forget_rules(&self) {
        drain(&self.rules);
    }
}

/// Whether there was anything. Lost news (ENOBUFS) is news.
fn drain(socket: &Socket) -> bool {
    let mut any = false;
    loop {
        match socket.recv_from_full() {
            Ok(_) => any = true,
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => any = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return any,
        }
    }
}

/// The kernel's number for news that did not fit the socket.
const ENOBUFS: i32 = 105;
