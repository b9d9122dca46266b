//! edged-guardian changes the host network, and nothing else.
//!
//! It holds `CAP_NET_ADMIN` and no other right, takes four commands ([`edged_protocol::guardian::Command`]) from one user
//! over one socket, and touches only what carries its prefix: the interface `PREFIX`, the links `PREFIXvN` with the
//! rates on them, the devices `PREFIXiN` for rates the other way, the tunnels `PREFIXtHEX`, the nftables tables `PREFIX`
//! (of `inet`, and for copies of `ip` and `ip6`), and the settings of those links; of the uplink it changes whether
//! packets are forwarded, and lets only applications and traffic rules profit from it. What cannot carry the prefix
//! carries a number made of it: the marks of packets that traffic rules send somewhere, and the routing tables of the
//! same numbers ([`ruleset::course::Marks`]).
//!
//! What it refuses to do: enter a namespace (it has no right to: the far end of a link is made inside by the kernel),
//! run anything but `nft`, take addresses that are not of its subnets, make anything of a frame it does not understand.
//!
//! Tasks and channels: none. One thread waits in poll(2) for its socket and for the kernel's news of rules and
//! links, executes one command or puts back what somebody else took, and waits again.
//!
//! Invariants:
//! - The kernel holds all state; a guardian that was killed at any moment is replaced by one that knows as much,
//!   but for the rates of links to come, and the ways over links that come back: a policy with bandwidth, or with rules
//!   that lead to neighbours or into tunnels, it has to be told again, and says so. What is in the kernel goes on.
//! - From its first start until `purge` the table exists, and a link without a policy may say nothing.
//! - A policy replaces the one before in one transaction: no packet sees a mixture or a gap.
//! - Traffic that has no end at a link of ours is judged by traffic rules alone ([`ruleset::traffic`] says which packets
//!   they are about), except that an uplink which forwarded nothing before still forwards nothing else.

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
