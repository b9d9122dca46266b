//! News of changes that others make to rules and links.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use crate::netlink::NetlinkError;
use crate::nfnetlink::{attribute, messages};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const GROUP_NFTABLES: u32 = 7;
/// `RTNLGRP_LINK` of linux/rtnetlink.h.
const GROUP_LINK: u32 = 1;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN` of linux/netfilter/nfnetlink.h and `nf_tables.h`: a transaction is done.
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// `NFTA_GEN_PROC_PID` of linux/netfilter/`nf_tables.h`: whose it was.
const GENERATION_PID: u16 = 2;

/// Two sockets that the kernel writes its changes to. Of links only the news counts, the state is read; of rules also
/// whose change it was, because our own are no news.
pub struct Watch {
    rules: Socket,
    links: Socket,
    /// Transactions of others since the last [`Watch::drain`].
    others: bool,
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
            others: false,
        })
    }

    /// Readable when there is news.
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.rules.as_fd(), self.links.as_fd()]
    }

    /// Takes all news.
    pub fn drain(&mut self) -> Changes {
        self.committed_by(None);
        Changes {
            rules: std::mem::take(&mut self.others),
            links: drain(&self.links),
        }
    }

    /// Takes the news of rules; whether a transaction of process `own` is among them, which is no news then.
    pub fn committed_by(&mut self, own: Option<u32>) -> bool {
        let mut committed = false;
        loop {
            match self.rules.recv_from_full() {
                Ok((datagram, _)) => {
                    for pid in transactions(&datagram) {
                        if own.is_some() && pid == own {
                            committed = true;
                        } else {
                            self.others = true;
                        }
                    }
                }
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => self.others = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return committed,
            }
        }
    }
}

/// Whose transactions a datagram tells the end of, by their process; `None`: it does not say.
fn transactions(datagram: &[u8]) -> impl Iterator<Item = Option<u32>> {
    messages(datagram)
        .filter(|message| message.kind == NEW_GENERATION)
        .map(|message| {
            let pid = attribute(message.attributes, GENERATION_PID)?;
            Some(u32::from_be_bytes(pid.try_into().ok()?))
        })
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
