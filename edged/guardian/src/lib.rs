//! edged-guardian changes the host network, and nothing else.
//!
//! It holds `CAP_NET_ADMIN` and no other right, takes four commands ([`edged_protocol::guardian::Command`]) from one user
//! over one socket, and touches only what carries its prefix: the interface `PREFIX`, the links `PREFIXvN` with the
//! rates on them, the devices `PREFIXiN` for rates the other way, the nftables table `inet PREFIX`, and the settings of
//! those links; of the uplink it changes whether packets are forwarded, and lets only applications profit from it.
//!
//! What it refuses to do: enter a namespace (it has no right to: the far end of a link is made inside by the kernel),
//! run anything but `nft`, take addresses that are not of its subnets, make anything of a frame it does not understand.
//!
//! Tasks and channels: none. One thread waits in poll(2) for its socket and for the kernel's news of rules and
//! links, executes one command or puts back what somebody else took, and waits again.
//!
//! Invariants:
//! - The kernel holds all state; a guardian that was killed at any moment is replaced by one that knows as much,
//!   but for the rates of links to come: a policy with bandwidth it has to be told again, and says so.
//! - From its first start until `purge` the table exists, and a link without a policy may say nothing.
//! - A policy replaces the one before in one transaction: no packet sees a mixture or a gap.
//! - Traffic that has no end at a link of ours is not judged, except that an uplink which forwarded nothing before
//!   still forwards nothing else.

pub mod abilities;
pub mod conntrack;
pub mod guardian;
pub mod link;
mod load;
pub mod netlink;
pub mod nfnetlink;
pub mod nft;
pub mod opening;
pub mod privilege;
pub mod route;
pub mod ruleset;
pub mod server;
mod shape;
pub mod sysctl;
pub mod watch;
pub mod way;
