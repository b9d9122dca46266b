//! Which traffic rules (ETSI GS MEC 011, 7.1.5) this box can keep. Whoever is answered success for a rule has it in the
//! kernel; what cannot be there is refused when it is asked for.

use std::net::IpAddr;

use edged_model::{
    AddressRange, Destination, FilterType, RuleId, TrafficAction, TrafficFilter, TrafficRule,
    TunnelEnds, TunnelKind,
};
use edged_protocol::guardian::Abilities;

/// Rules in force on a box: with [`VALUES_TOTAL_MAX`] values the policy still fits one frame of the guardian's protocol
/// (1 MiB).
pub const RULES_MAX: usize = 1_024;
/// Filters of one rule: each is a rule of the kernel, twice where both families are meant.
pub const FILTERS_MAX: usize = 16;
/// Values of one list of a filter: one set of the kernel.
pub const VALUES_MAX: usize = 64;
/// Values of all lists of all rules in force, so that [`RULES_MAX`] rules stay within the frame.
pub const VALUES_TOTAL_MAX: usize = 4_096;

/// Why a rule cannot be kept on this box.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("traffic rule {rule} cannot be kept on this box: {reason} ({member})")]
pub struct Infeasible {
    /// Which rule.
    pub rule: RuleId,
    /// Which member of it, by the name that MEC 011 gives it.
    pub member: &'static str,
    /// Why, and what to do instead.
    pub reason: &'static str,
}

/// Member and reason.
type Reason = (&'static str, &'static str);

/// Whether this box can keep a rule, judged by the rule alone; [`room`] judges how many there may be.
pub fn feasible(rule: &TrafficRule, abilities: &Abilities) -> Result<(), Infeasible> {
    let infeasible = |(member, reason): Reason| Infeasible {
        rule: rule.id.clone(),
        member,
        reason,
    };
    action(rule, *abilities).map_err(infeasible)?;
    if rule.filters.is_empty() || rule.filters.len() > FILTERS_MAX {
        return Err(infeasible(("trafficFilter", "write 1 to 16 filters")));
    }
    let mut filters = rule.filters.iter();
    filters
        .try_for_each(|filter| judge(filter, rule, *abilities))
        .map_err(infeasible)
}

/// Whether the rules in force leave room for more: the first of `more` that does not fit is named.
pub fn room<'a>(
    more: impl IntoIterator<Item = &'a TrafficRule>,
    in_force: impl IntoIterator<Item = &'a TrafficRule>,
) -> Result<(), Infeasible> {
    let mut room = Room::default();
    for rule in in_force {
        room.take(rule);
    }
    for rule in more {
        if !room.take(rule) {
            return Err(Infeasible {
                rule: rule.id.clone(),
                member: "trafficRuleId",
                reason: "1024 rules with 4096 values are in force at most; deactivate others first",
            });
        }
    }
    Ok(())
}

/// What is left of the bounds of a box.
pub(crate) struct Room {
    rules: usize,
    values: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            rules: RULES_MAX,
            values: VALUES_TOTAL_MAX,
        }
    }
}

impl Room {
    /// Takes the room of a rule; `false`: there is not enough, and none was taken.
    pub(crate) fn take(&mut self, rule: &TrafficRule) -> bool {
        let values: usize = rule.filters.iter().map(values).sum();
        if self.rules == 0 || self.values < values {
            return false;
        }
        self.rules -= 1;
        self.values -= values;
        true
    }
}

fn values(filter: &TrafficFilter) -> usize {
    lists(filter).iter().map(|(_, length)| length).sum()
}

/// Each list of a filter: its name and its length.
fn lists(filter: &TrafficFilter) -> [(&'static str, usize); 10] {
    [
        ("srcAddress", filter.source.len()),
        ("dstAddress", filter.destination.len()),
        ("srcPort", filter.source_port.len()),
        ("dstPort", filter.destination_port.len()),
        ("protocol", filter.protocol.len()),
        ("tag", filter.tag.len()),
        ("srcTunnelAddress", filter.tunnel_source.len()),
        ("tgtTunnelAddress", filter.tunnel_destination.len()),
        ("srcTunnelPort", filter.tunnel_source_port.len()),
        ("dstTunnelPort", filter.tunnel_destination_port.len()),
    ]
}

/// Whether a filter looks at the outer header of tunnelled packets.
pub fn looks_at_tunnels(filter: &TrafficFilter) -> bool {
    let outer = lists(filter);
    let mut outer = outer.iter().filter(|(name, _)| name.contains("Tunnel"));
    outer.any(|(_, length)| *length > 0)
}

/// Whether a rule takes packets out of their tunnel before it looks at them.
pub fn decapsulates(rule: &TrafficRule) -> bool {
    matches!(
        rule.action,
        TrafficAction::ForwardDecapsulated(_) | TrafficAction::DuplicateDecapsulated(_)
    )
}

/// The tunnel that a filter names, seen from this box: what arrives is addressed to it. `None`: it names none, or
/// more than one.
pub fn tunnel_of(filter: &TrafficFilter) -> Option<TunnelEnds> {
    let one = |list: &[AddressRange]| match list {
        [one] if one.first() == one.last() => Some(one.first()),
        _ => None,
    };
    Some(TunnelEnds {
        kind: TunnelKind::Gre,
        source: one(&filter.tunnel_destination)?,
        destination: one(&filter.tunnel_source)?,
    })
}

/// A filter without its tunnel: what it asks of packets that have been taken out of it.
#[must_use]
pub fn inner(filter: &TrafficFilter) -> TrafficFilter {
    TrafficFilter {
        tunnel_source: Vec::new(),
        tunnel_destination: Vec::new(),
        tunnel_source_port: Vec::new(),
        tunnel_destination_port: Vec::new(),
        ..filter.clone()
    }
}

/// Whether packets of a family (IPv4: `true`) can match a filter, by its addresses outside of tunnels and its marks.
pub fn can_be(filter: &TrafficFilter, v4: bool) -> bool {
    let has =
        |list: &[AddressRange]| list.is_empty() || list.iter().any(|range| range.is_ipv4() == v4);
    let addresses = if looks_at_tunnels(filter) {
        [&filter.tunnel_source, &filter.tunnel_destination]
    } else {
        [&filter.source, &filter.destination]
    };
    addresses.into_iter().all(|list| has(list)) && !(v4 && filter.traffic_class.is_some())
}

/// The family that an action is about (IPv4: `true`), or `None`: both.
pub fn family(action: &TrafficAction) -> Option<bool> {
    let of = |destination: &Destination| match destination {
        Destination::Ip(address) => Some(address.is_ipv4()),
        Destination::Mac { .. } | Destination::Tunnel(_) => None,
    };
    match action {
        TrafficAction::Drop | TrafficAction::Passthrough => None,
        TrafficAction::ForwardDecapsulated(to) | TrafficAction::ForwardEncapsulated(to) => of(to),
        TrafficAction::DuplicateDecapsulated([to, copy])
        | TrafficAction::DuplicateEncapsulated([to, copy]) => of(to).or_else(|| of(copy)),
    }
}

fn action(rule: &TrafficRule, abilities: Abilities) -> Result<(), Reason> {
    match rule.action {
        TrafficAction::Drop | TrafficAction::Passthrough => Ok(()),
        TrafficAction::ForwardDecapsulated(to) | TrafficAction::ForwardEncapsulated(to) => {
            destination(to, abilities)
        }
        TrafficAction::DuplicateDecapsulated([to, copy])
        | TrafficAction::DuplicateEncapsulated([to, copy]) => {
            if !abilities.duplicate {
                return Err(("action", "its kernel makes no copies of packets"));
            }
            destination(to, abilities)?;
            let Destination::Ip(second) = copy else {
                return Err((
                    "dstInterface",
                    "a copy goes to an IP address; make the second destination one of type IP",
                ));
            };
            destination(copy, abilities)?;
            match to {
                Destination::Ip(first) if first.is_ipv4() != second.is_ipv4() => {
                    Err(("dstIpAddress", "write two addresses of the same family"))
                }
                _ => Ok(()),
            }
        }
    }
}

fn destination(to: Destination, abilities: Abilities) -> Result<(), Reason> {
    match to {
        Destination::Ip(address) if is_one_host(address) => Ok(()),
        Destination::Ip(_) => Err((
            "dstIpAddress",
            "write the address of one host, neither loopback nor multicast nor link-local",
        )),
        Destination::Mac {
            source: Some(_), ..
        } => Err((
            "srcMacAddress",
            "packets leave with the link's own address; leave it out",
        )),
        Destination::Mac { .. } if !abilities.neighbour => Err((
            "dstMacAddress",
            "it has no uplink that neighbours could be on",
        )),
        Destination::Mac { destination, .. } => {
            let [first, ..] = destination.0;
            // The lowest bit of the first octet says that it is a group (IEEE 802).
            if first & 1 == 1 || destination.0 == [0; 6] {
                Err(("dstMacAddress", "write the address of one station"))
            } else {
                Ok(())
            }
        }
        Destination::Tunnel(ends) => tunnel(ends, abilities),
    }
}

fn tunnel(ends: TunnelEnds, abilities: Abilities) -> Result<(), Reason> {
    match ends.kind {
        // TS 29.281, 5.1: a packet of a user has the endpoint's identifier, and MEC 011 has no member for it.
        TunnelKind::GtpU => Err((
            "tunnelType",
            "packets into a GTP-U tunnel need an endpoint identifier (TEID) and rules have none; use GRE",
        )),
        TunnelKind::Gre if !abilities.gre => Err(("tunnelType", "its kernel has no GRE tunnels")),
        TunnelKind::Gre => {
            if is_one_host(ends.source)
                && is_one_host(ends.destination)
                && ends.source.is_ipv4()
                && ends.destination.is_ipv4()
            {
                Ok(())
            } else {
                Err((
                    "tunnelInfo",
                    "write two IPv4 addresses, the source one of this box",
                ))
            }
        }
    }
}

/// Whether packets to an address go to one host beside this one.
fn is_one_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            // 240/4 is reserved (RFC 1112, 4), 0/8 means this network (RFC 1122, 3.2.1.3).
            first != 0 && first < 224 && !v4.is_loopback() && !v4.is_link_local()
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

fn judge(filter: &TrafficFilter, rule: &TrafficRule, abilities: Abilities) -> Result<(), Reason> {
    if let Some((name, _)) = lists(filter)
        .into_iter()
        .find(|(_, length)| *length > VALUES_MAX)
    {
        return Err((name, "write at most 64 values"));
    }
    if !filter.tag.is_empty() {
        return Err(("tag", "its packets bear no tags"));
    }
    if filter.qci.is_some() {
        return Err((
            "qCI",
            "classes of a mobile network end before it; use dSCP where the network sets that",
        ));
    }
    if looks_at_tunnels(filter) && decapsulates(rule) {
        decapsulation(filter, abilities)?;
        return judge(&inner(filter), rule, abilities);
    }
    let ports = !filter.source_port.is_empty() || !filter.destination_port.is_empty();
    let portless = !filter.protocol.is_empty() && !filter.protocol.iter().any(|p| p.has_ports());
    if ports && portless {
        return Err(("protocol", "none of these protocols has ports"));
    }
    let inside = ports
        || !(filter.protocol.is_empty()
            && filter.source.is_empty()
            && filter.destination.is_empty());
    if looks_at_tunnels(filter) {
        if inside && rule.filter_type == FilterType::Flow {
            return Err((
                "filterType",
                "flows are followed outside of tunnels only; use PACKET to look inside",
            ));
        }
        if inside && !inner_family(filter) {
            return Err(("dstAddress", "source and destination are of two families"));
        }
    }
    let families = [true, false].into_iter().filter(|v4| can_be(filter, *v4));
    let wanted = family(&rule.action);
    match families
        .filter(|v4| wanted.is_none_or(|wanted| wanted == *v4))
        .count()
    {
        0 if wanted.is_some() => Err((
            "dstInterface",
            "packets that this filter matches are of another family than the destination",
        )),
        0 => Err((
            "trafficFilter",
            "no packet is of all the families that it names",
        )),
        _ => Ok(()),
    }
}

/// Taking packets out of a tunnel that ends here.
fn decapsulation(filter: &TrafficFilter, abilities: Abilities) -> Result<(), Reason> {
    if !(filter.tunnel_source_port.is_empty() && filter.tunnel_destination_port.is_empty()) {
        return Err((
            "dstTunnelPort",
            "packets come out of GRE tunnels alone, which have no ports; use an ENCAPSULATED action",
        ));
    }
    if !abilities.gre {
        return Err((
            "action",
            "its kernel has no GRE tunnels to take packets out of; use an ENCAPSULATED action",
        ));
    }
    let ends = tunnel_of(filter).ok_or((
        "srcTunnelAddress",
        "write one address for each end of the tunnel that packets are taken out of",
    ))?;
    tunnel(ends, abilities)
}

fn inner_family(filter: &TrafficFilter) -> bool {
    let has = |list: &[AddressRange], v4| list.is_empty() || list.iter().any(|r| r.is_ipv4() == v4);
    [true, false]
        .into_iter()
        .any(|v4| has(&filter.source, v4) && has(&filter.destination, v4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABLE: Abilities = Abilities {
        gre: true,
        gtp: false,
        duplicate: true,
        neighbour: true,
        bandwidth: true,
    };

    fn rule(kind: &str, filters: &str, action: &str) -> TrafficRule {
        let text = format!(
            r#"{{"id":"x","filterType":"{kind}","priority":1,"filters":{filters},"action":{action},"active":true}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn to(ip: &str) -> String {
        format!(r#"{{"forward-encapsulated":{{"ip":"{ip}"}}}}"#)
    }

    fn into(kind: &str, source: &str) -> String {
        format!(
            r#"{{"forward-encapsulated":{{"tunnel":{{"kind":"{kind}","source":"{source}","destination":"192.0.2.2"}}}}}}"#
        )
    }

    #[test]
    fn what_this_box_can_keep_is_kept() {
        for (filters, action) in [
            ("[{}]", "\"drop\"".to_owned()),
            (
                r#"[{"source":["10.0.0.0/8","fd00::/8"],"dscp":46}]"#,
                "\"passthrough\"".to_owned(),
            ),
            (r#"[{"trafficClass":184}]"#, to("fd00::1")),
            (
                r#"[{"tunnelSource":["192.0.2.1"],"source":["fd00::1"]}]"#,
                to("10.0.0.1"),
            ),
            ("[{}]", into("gre", "192.0.2.1")),
            (
                "[{}]",
                r#"{"forward-encapsulated":{"mac":{"destination":"02:00:00:00:00:01"}}}"#
                    .to_owned(),
            ),
            (
                "[{}]",
                r#"{"duplicate-decapsulated":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]}"#.to_owned(),
            ),
        ] {
            assert_eq!(
                feasible(&rule("packet", filters, &action), &ABLE),
                Ok(()),
                "{filters} {action}"
            );
        }
    }

    #[test]
    fn what_it_cannot_is_named_by_member() {
        let drop = "\"drop\"".to_owned();
        let long = format!(
            "[{{\"destinationPort\":[{}]}}]",
            vec!["\"1\""; 65].join(",")
        );
        let mac = |station: &str| format!(r#"{{"forward-encapsulated":{{"mac":{station}}}}}"#);
        for (member, filters, action) in [
            ("qCI", r#"[{"qci":9}]"#, drop.clone()),
            ("tag", r#"[{"tag":["a"]}]"#, drop.clone()),
            ("trafficFilter", "[]", drop.clone()),
            ("dstPort", &long, drop.clone()),
            (
                "protocol",
                r#"[{"protocol":["icmp"],"sourcePort":["1"]}]"#,
                drop.clone(),
            ),
            (
                "trafficFilter",
                r#"[{"source":["10.0.0.1"],"destination":["fd00::1"]}]"#,
                drop.clone(),
            ),
            (
                "trafficFilter",
                r#"[{"source":["10.0.0.1"],"trafficClass":1}]"#,
                drop.clone(),
            ),
            (
                "dstInterface",
                r#"[{"source":["10.0.0.1"]}]"#,
                to("fd00::1"),
            ),
            ("dstIpAddress", "[{}]", to("127.0.0.1")),
            ("dstIpAddress", "[{}]", to("224.0.0.1")),
            ("dstIpAddress", "[{}]", to("0.0.0.0")),
            ("dstIpAddress", "[{}]", to("::ffff:10.0.0.1")),
            ("dstIpAddress", "[{}]", to("fe80::1")),
            ("tunnelType", "[{}]", into("gtp-u", "192.0.2.1")),
            ("tunnelInfo", "[{}]", into("gre", "fd00::1")),
            (
                "dstMacAddress",
                "[{}]",
                mac(r#"{"destination":"01:00:00:00:00:01"}"#),
            ),
            (
                "srcMacAddress",
                "[{}]",
                mac(r#"{"source":"02:00:00:00:00:02","destination":"02:00:00:00:00:01"}"#),
            ),
            (
                "dstIpAddress",
                "[{}]",
                r#"{"duplicate-encapsulated":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}"#.to_owned(),
            ),
            (
                "srcTunnelAddress",
                r#"[{"tunnelSource":["10.0.0.1"]}]"#,
                to("10.0.0.1").replace("encap", "decap"),
            ),
            (
                "dstTunnelPort",
                r#"[{"tunnelSource":["10.0.0.1"],"tunnelDestinationPort":["2152"]}]"#,
                to("10.0.0.1").replace("encap", "decap"),
            ),
        ] {
            let error = feasible(&rule("packet", filters, &action), &ABLE).unwrap_err();
            assert_eq!(error.member, member, "{error}");
        }
        let inside = r#"[{"tunnelSource":["10.0.0.1"],"source":["10.0.0.2"]}]"#;
        let error = feasible(&rule("flow", inside, &drop), &ABLE).unwrap_err();
        assert_eq!(error.member, "filterType");
    }

    #[test]
    fn what_the_kernel_lacks_is_told_in_one_sentence() {
        let unable = Abilities::default();
        for (action, sentence) in [
            (
                into("gre", "192.0.2.1"),
                "traffic rule x cannot be kept on this box: its kernel has no GRE tunnels (tunnelType)",
            ),
            (
                r#"{"duplicate-encapsulated":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]}"#.to_owned(),
                "traffic rule x cannot be kept on this box: its kernel makes no copies of packets (action)",
            ),
            (
                r#"{"forward-encapsulated":{"mac":{"destination":"02:00:00:00:00:01"}}}"#
                    .to_owned(),
                "traffic rule x cannot be kept on this box: it has no uplink that neighbours could be on (dstMacAddress)",
            ),
        ] {
            let error = feasible(&rule("flow", "[{}]", &action), &unable).unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn there_is_room_for_so_many_rules_and_values() {
        let plain = rule("packet", "[{}]", "\"drop\"");
        let in_force = vec![plain.clone(); RULES_MAX - 1];
        assert_eq!(room([&plain], &in_force), Ok(()));
        assert!(room([&plain, &plain], &in_force).is_err());
        let ports = vec!["\"1\""; VALUES_MAX].join(",");
        let full = rule(
            "packet",
            &format!("[{{\"sourcePort\":[{ports}]}}]"),
            "\"drop\"",
        );
        let in_force = vec![full.clone(); VALUES_TOTAL_MAX / VALUES_MAX];
        assert_eq!(room([&plain], &in_force), Ok(()));
        assert!(room([&full], &in_force).is_err());
    }
}
