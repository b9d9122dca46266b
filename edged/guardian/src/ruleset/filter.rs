//! From the filter of a traffic rule to the questions of nftables.
//!
//! PACKET asks the packet's own header. FLOW asks the kernel's connection table for the header of the flow's first
//! packet: so the first packet decides, its answers are included, and a rule that comes or goes while a flow is alive
//! finds it. What that table does not keep of the first packet, its DSCP, is written into the connection's mark
//! ([`remembered`]).

use std::collections::BTreeSet;

use edged_model::{FilterType, IpProtocol, TrafficFilter, TrafficRule};

use super::words::{Family, Span, address, one_of};

/// Protocols whose header has ports: where a filter names ports alone.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// The upper ten bits of a connection's mark: the octet of its first packet is known, the octet, it is none that a rule
/// asks for.
const KNOWN: u32 = 0x8000_0000;
const OCTET: u32 = 23;
const OTHER: u32 = 0x0040_0000;
const REST: u32 = 0x003f_ffff;

/// The questions of a filter, each a line that packets answer yes to or not; `family`: what the action is about.
pub fn questions(filter: &TrafficFilter, what: FilterType, family: Option<Family>) -> Vec<String> {
    if edged_net::looks_at_tunnels(filter) {
        return super::tunnelled::questions(filter, what, family);
    }
    families(filter, family)
        .into_iter()
        .map(|family| {
            let mut words = Vec::new();
            words.extend(header(filter, what, family));
            words.extend(transport(filter, what));
            words.join(" ")
        })
        .collect()
}

/// One line a version of IP, or one for both where nothing tells them apart.
pub fn families(filter: &TrafficFilter, wanted: Option<Family>) -> Vec<Option<Family>> {
    let pinned = wanted.is_some()
        || !filter.source.is_empty()
        || !filter.destination.is_empty()
        || !filter.tunnel_source.is_empty()
        || !filter.tunnel_destination.is_empty()
        || filter.dscp.is_some()
        || filter.traffic_class.is_some();
    if !pinned {
        return vec![None];
    }
    let may = |family: &Family| {
        wanted.is_none_or(|wanted| wanted == *family)
            && edged_net::can_be(filter, *family == Family::V4)
    };
    Family::ALL.into_iter().filter(may).map(Some).collect()
}

fn header(filter: &TrafficFilter, what: FilterType, family: Option<Family>) -> Vec<String> {
    let Some(family) = family else {
        return Vec::new();
    };
    let mut words = vec![format!("meta nfproto {}", family.protocol())];
    for (side, ranges) in [("saddr", &filter.source), ("daddr", &filter.destination)] {
        words.extend(addresses(
            side,
            &Span::addresses(ranges, family),
            what,
            family,
        ));
    }
    words.extend(marked(filter, what, family));
    words
}

/// The question after an address of the outermost header.
pub fn addresses(side: &str, spans: &[Span], what: FilterType, family: Family) -> Option<String> {
    let ct = if what == FilterType::Flow {
        "ct original "
    } else {
        ""
    };
    let written: Vec<String> = spans
        .iter()
        .map(|span| span.text(|number| address(number, family)))
        .collect();
    Some(format!(
        "{ct}{} {side} {}",
        family.word(),
        one_of(&written)?
    ))
}

/// The questions after DSCP and traffic class.
pub fn marked(filter: &TrafficFilter, what: FilterType, family: Family) -> Vec<String> {
    let word = family.word();
    let dscp = filter.dscp.map(|dscp| match what {
        FilterType::Packet => format!("{word} dscp {}", dscp.get()),
        FilterType::Flow => {
            let octet = u32::from(dscp.get()) << 2;
            format!(
                "ct mark and {:#010x} == {:#010x}",
                KNOWN | 0xfc << OCTET,
                KNOWN | octet << OCTET
            )
        }
    });
    let class = filter.traffic_class.map(|class| match what {
        FilterType::Packet => format!("ip6 dscp {} ip6 ecn {}", class >> 2, class & 3),
        FilterType::Flow => {
            let octet = u32::from(class);
            format!(
                "ct mark and {:#010x} == {:#010x}",
                KNOWN | 0xff << OCTET,
                KNOWN | octet << OCTET
            )
        }
    });
    dscp.into_iter().chain(class).collect()
}

fn transport(filter: &TrafficFilter, what: FilterType) -> Vec<String> {
    let sides = [
        ("sport", "proto-src", &filter.source_port),
        ("dport", "proto-dst", &filter.destination_port),
    ];
    let mut words = Vec::new();
    words.extend(
        protocols(filter)
            .and_then(|protocols| one_of(&protocols).map(|set| format!("meta l4proto {set}"))),
    );
    for (packet, flow, ranges) in sides {
        let field = match what {
            FilterType::Packet => format!("th {packet}"),
            FilterType::Flow => format!("ct original {flow}"),
        };
        words.extend(ports(&field, &Span::ports(ranges)));
    }
    words
}

/// The protocols that a filter names, or whose ports it names; `None`: any.
pub fn protocols(filter: &TrafficFilter) -> Option<Vec<u8>> {
    let has_ports = !filter.source_port.is_empty() || !filter.destination_port.is_empty();
    let named: BTreeSet<u8> = if filter.protocol.is_empty() {
        if !has_ports {
            return None;
        }
        WITH_PORTS.into()
    } else {
        filter.protocol.iter().map(|protocol| protocol.0).collect()
    };
    let fits = |number: &u8| !has_ports || IpProtocol(*number).has_ports();
    Some(named.into_iter().filter(fits).collect())
}

/// The question after a port.
pub fn ports(field: &str, spans: &[Span]) -> Option<String> {
    let written: Vec<String> = spans
        .iter()
        .map(|span| span.text(|n| n.to_string()))
        .collect();
    Some(format!("{field} {}", one_of(&written)?))
}

/// Lines that write the octet of a flow's first packet into the connection's mark, as far as `rules` ask for it; empty
/// where no rule does. A flow keeps what it was found to be, also when other rules come.
pub fn remembered<'a>(rules: impl IntoIterator<Item = &'a TrafficRule>) -> Vec<String> {
    let mut points = BTreeSet::new();
    let mut classes = BTreeSet::new();
    let flows = rules
        .into_iter()
        .filter(|rule| rule.filter_type == FilterType::Flow);
    for filter in flows.flat_map(|rule| &rule.filters) {
        points.extend(filter.dscp.map(edged_model::Dscp::get));
        classes.extend(filter.traffic_class.map(|class| class >> 2));
    }
    if points.is_empty() && classes.is_empty() {
        return Vec::new();
    }
    let keep = |question: String, octet: u8| {
        let mark = KNOWN | u32::from(octet) << OCTET;
        format!("{question} ct mark set ct mark and {REST:#010x} or {mark:#010x} return")
    };
    let mut lines = Vec::new();
    for point in &points {
        lines.push(keep(format!("ip dscp {point}"), point << 2));
    }
    for point in points.union(&classes) {
        if classes.contains(point) {
            let each =
                (0..4).map(|ecn| keep(format!("ip6 dscp {point} ip6 ecn {ecn}"), point << 2 | ecn));
            lines.extend(each);
        } else {
            lines.push(keep(format!("ip6 dscp {point}"), point << 2));
        }
    }
    lines.push(format!("ct mark set ct mark or {OTHER:#010x}"));
    lines
}

/// What asks whether the first packet of a flow is not looked at yet.
pub fn unremembered() -> String {
    format!(
        "ct direction original ct mark and {:#010x} == 0",
        KNOWN | OTHER
    )
}
