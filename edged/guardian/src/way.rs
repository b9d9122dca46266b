//! The ways of traffic rules that are no plain addresses: neighbours on the uplink, and tunnels.
//!
//! A packet that takes one is marked, and a rule of routing leads its mark by a table of its own: to a neighbour that
//! has an address of the link-local range for this purpose alone, known for good to be at the station that the rule
//! names; or into a tunnel that the guardian has made. While the link is away the table ends here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edged_model::TunnelEnds;
use edged_protocol::guardian::OwnedRule;

use crate::link::Link;
use crate::netlink::{Netlink, NetlinkError};
use crate::ruleset::Ruleset;
use crate::ruleset::course::{Courses, Kind, Way, taken_out_of};
use crate::sysctl::{Sysctl, SysctlError};

/// Why a way was not made.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// Links and routes.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Settings of a tunnel.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
}

/// What traffic rules need beside rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// Ways by the number of their course.
    routes: BTreeMap<u16, Way>,
    /// Tunnels that packets are led into or taken out of.
    tunnels: BTreeSet<TunnelEnds>,
}

impl Ways {
    /// Of these courses and rules.
    pub fn of(courses: &Courses, rules: &[OwnedRule]) -> Self {
        let routes: BTreeMap<u16, Way> = courses
            .iter()
            .filter(|(course, _)| !matches!(course.way, Way::Address(_)))
            .map(|(course, number)| (*number, course.way))
            .collect();
        let into = routes.values().filter_map(|way| match way {
            Way::Tunnel(ends) => Some(*ends),
            _ => None,
        });
        let out = rules.iter().flat_map(|owned| taken_out_of(&owned.rule));
        Self {
            tunnels: into.chain(out).collect(),
            routes,
        }
    }

    /// What `had` does not have.
    #[must_use]
    pub fn beside(&self, had: &Self) -> Self {
        let routes = self.routes.iter();
        let new = routes.filter(|(number, way)| had.routes.get(*number) != Some(*way));
        Self {
            routes: new.map(|(number, way)| (*number, *way)).collect(),
            tunnels: self.tunnels.difference(&had.tunnels).copied().collect(),
        }
    }
}

/// Numbers that the kernel has a table for.
pub fn there(ruleset: &Ruleset, netlink: &mut Netlink) -> Result<BTreeSet<u16>, NetlinkError> {
    let marks = ruleset.marks();
    let tables = netlink.tables()?;
    Ok(tables
        .into_iter()
        .filter_map(|mark| marks.number_in(mark))
        .collect())
}

/// Makes ways. Where a link is away, its way ends here until [`open`] finds the link.
pub fn make(ways: &Ways, ruleset: &Ruleset, netlink: &mut Netlink) -> Result<(), WayError> {
    for ends in &ways.tunnels {
        let name = ruleset.tunnel(ends);
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (ends.source, ends.destination) {
            netlink.add_tunnel(&name, source, destination)?;
        }
        prepare(&name)?;
        if let Some(link) = netlink.link(&name)? {
            netlink.set_up(&link)?;
        }
    }
    for number in ways.routes.keys() {
        netlink.add_table(mark(ruleset, *number))?;
    }
    Ok(open(ways, ruleset, netlink)?)
}

/// The settings of a tunnel: what comes out of it is forwarded where rules let it, and the box itself says nothing there.
fn prepare(link: &str) -> Result<(), SysctlError> {
    let sysctl = Sysctl::of_kernel();
    // Routes do not tell who may be at the other end. The kernel takes the larger of this and what holds for all links;
    // 2 asks for less than 1.
    let strict = sysctl.is_on("ipv4/conf/all/rp_filter") == Some(true);
    for (setting, value) in [
        ("ipv4/conf/LINK/forwarding", "1"),
        ("ipv4/conf/LINK/rp_filter", if strict { "2" } else { "0" }),
        ("ipv4/conf/LINK/accept_redirects", "0"),
        ("ipv4/conf/LINK/send_redirects", "0"),
        ("ipv6/conf/LINK/accept_ra", "0"),
        ("ipv6/conf/LINK/accept_redirects", "0"),
        // No address of its own, so no questions and no reports of its own (IN6_ADDR_GEN_MODE_NONE).
        ("ipv6/conf/LINK/addr_gen_mode", "1"),
    ] {
        sysctl.set(&setting.replace("LINK", link), value)?;
    }
    if sysctl.has_force_forwarding() {
        sysctl.set(&format!("ipv6/conf/{link}/force_forwarding"), "1")?;
    }
    Ok(())
}

/// Leads ways over their links, those that are there.
pub fn open(ways: &Ways, ruleset: &Ruleset, netlink: &mut Netlink) -> Result<(), NetlinkError> {
    for (number, way) in &ways.routes {
        let Some(link) = link(way, ruleset, netlink)? else {
            tracing::warn!(?way, "the link of a traffic rule is away");
            continue;
        };
        let mark = mark(ruleset, *number);
        match way {
            Way::Neighbour(station) if link.up => {
                let (v4, v6) = stand_in(*number);
                for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
                    netlink.add_neighbour(&link, address, *station)?;
                }
                netlink.add_way(mark, &link, Some((v4, v6)))?;
            }
            Way::Tunnel(_) => netlink.add_way(mark, &link, None)?,
            // It is down: the kernel takes no routes over it and tells when it comes up.
            Way::Neighbour(_) | Way::Address(_) => {}
        }
    }
    Ok(())
}

/// Takes away what `wanted` does not have, whoever made it.
pub fn remove_others(
    wanted: &Ways,
    ruleset: &Ruleset,
    netlink: &mut Netlink,
) -> Result<(), NetlinkError> {
    let uplink = ruleset.uplink().map(str::to_owned);
    let uplink = match uplink {
        Some(name) => netlink.link(&name)?,
        None => None,
    };
    for number in there(ruleset, netlink)? {
        if wanted.routes.contains_key(&number) {
            continue;
        }
        netlink.remove_table(mark(ruleset, number))?;
        if let Some(uplink) = &uplink {
            let (v4, v6) = stand_in(number);
            netlink.remove_neighbour(uplink, IpAddr::V4(v4))?;
            netlink.remove_neighbour(uplink, IpAddr::V6(v6))?;
        }
    }
    let tunnels = wanted.tunnels.iter().map(|ends| ruleset.tunnel(ends));
    let tunnels: BTreeSet<String> = tunnels.collect();
    for link in netlink.links()? {
        if ruleset.is_tunnel(&link.name) && !tunnels.contains(&link.name) {
            netlink.delete(&link.name)?;
        }
    }
    Ok(())
}

fn mark(ruleset: &Ruleset, number: u16) -> u32 {
    ruleset.marks().mark(Kind::Routed, number)
}

fn link(way: &Way, ruleset: &Ruleset, netlink: &mut Netlink) -> Result<Option<Link>, NetlinkError> {
    match ruleset.link_of(way) {
        Some(name) => netlink.link(&name),
        None => Ok(None),
    }
}

/// The addresses that stand for a neighbour: of the link-local ranges (RFC 3927, RFC 4291, 2.5.6), which nothing is
/// ever sent to by rules.
fn stand_in(number: u16) -> (Ipv4Addr, Ipv6Addr) {
    let [high, low] = number.to_be_bytes();
    (
        // 169.254.224.0 to 169.254.239.255; numbers have twelve bits.
        Ipv4Addr::new(169, 254, 0xe0 | high, low),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0x6d65, 0x6330, 0, number),
    )
}
