//! Questions to packets that are in a tunnel through this box: GRE (RFC 2784) and GTP-U (3GPP TS 29.281).
//!
//! The tunnel members of a filter ask the outer header, its other members the inner one. The inner header is found
//! where the plain headers of both protocols end: a packet whose tunnel header has optional fields, or whose inner IPv4
//! header has options, is not looked into and does not match.

use edged_model::{FilterType, TrafficFilter};

use super::filter::{addresses, families, marked, ports, protocols};
use super::words::{Family, Span, one_of};

/// Where GTP-U is spoken (3GPP TS 29.281, 4.4.2.3).
const GTP_PORT: u16 = 2152;

/// As [`super::filter::questions`].
pub fn questions(filter: &TrafficFilter, what: FilterType, family: Option<Family>) -> Vec<String> {
    let ports = !filter.tunnel_source_port.is_empty() || !filter.tunnel_destination_port.is_empty();
    let mut questions = Vec::new();
    for family in families(filter, family) {
        let outer = outer(filter, what, family);
        if !ports {
            // nft 1.0.6 cannot list a rule that asks for this protocol by its one number and looks behind its header.
            let gre = [outer.clone(), vec!["meta l4proto 47-47".to_owned()]].concat();
            questions.extend(within(filter, &gre, Wrap::Gre));
        }
        let gtp = [outer, udp(filter, what)].concat();
        questions.extend(within(filter, &gtp, Wrap::GtpU));
    }
    questions
}

fn outer(filter: &TrafficFilter, what: FilterType, family: Option<Family>) -> Vec<String> {
    let Some(family) = family else {
        return Vec::new();
    };
    let mut words = vec![format!("meta nfproto {}", family.protocol())];
    for (side, ranges) in [
        ("saddr", &filter.tunnel_source),
        ("daddr", &filter.tunnel_destination),
    ] {
        let spans = Span::addresses(ranges, family);
        words.extend(addresses(side, &spans, what, family));
    }
    words.extend(marked(filter, what, family));
    words
}

fn udp(filter: &TrafficFilter, what: FilterType) -> Vec<String> {
    let (source, destination) = match what {
        FilterType::Packet => ("th sport", "th dport"),
        FilterType::Flow => ("ct original proto-src", "ct original proto-dst"),
    };
    let mut words = match what {
        // A range, for the reason above.
        FilterType::Packet => vec!["meta l4proto 17-17".to_owned()],
        // nft asks for ports of connections only where it knows that there are some.
        FilterType::Flow => vec!["meta l4proto 17".to_owned()],
    };
    words.extend(ports(source, &Span::ports(&filter.tunnel_source_port)));
    if filter.tunnel_destination_port.is_empty() && filter.tunnel_source_port.is_empty() {
        words.push(format!("{destination} {GTP_PORT}"));
    }
    words.extend(ports(
        destination,
        &Span::ports(&filter.tunnel_destination_port),
    ));
    words
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrap {
    Gre,
    GtpU,
}

impl Wrap {
    /// Bits from the outer transport header to the inner IP header.
    fn bits(self) -> u32 {
        match self {
            Self::Gre => 32,
            // UDP's eight octets and GTP-U's eight.
            Self::GtpU => 128,
        }
    }

    /// That the header has no optional fields and holds a packet of this family.
    fn plain(self, family: Family) -> String {
        match (self, family) {
            (Self::Gre, Family::V4) => "@th,0,32 0x00000800".to_owned(),
            (Self::Gre, Family::V6) => "@th,0,32 0x000086dd".to_owned(),
            // Version 1, protocol type 1, no flags; a packet of a user (G-PDU).
            (Self::GtpU, _) => "@th,64,16 0x30ff".to_owned(),
        }
    }
}

/// What the inner members of a filter ask, after the outer questions.
fn within(filter: &TrafficFilter, outer: &[String], wrap: Wrap) -> Vec<String> {
    let protocols = protocols(filter);
    let asks = protocols.is_some() || !filter.source.is_empty() || !filter.destination.is_empty();
    if !asks {
        return vec![outer.join(" ")];
    }
    let may = |family: &Family| {
        [&filter.source, &filter.destination]
            .iter()
            .all(|list| list.is_empty() || !Span::addresses(list, *family).is_empty())
    };
    let inner = |family: Family| {
        let start = wrap.bits();
        let raw = |at: u32, length: u32, values: Vec<String>| {
            one_of(&values).map(|set| format!("@th,{},{length} {set}", start + at))
        };
        let hex = |number: u128| format!("{number:#x}");
        let spans = |spans: Vec<Span>| spans.into_iter().map(|s| s.text(hex)).collect();
        // RFC 791, 3.1, without options; RFC 8200, 3.
        let (version, protocol, source, destination, length, transport) = match family {
            Family::V4 => ((8, "0x45"), 72, 96, 128, 32, 160),
            Family::V6 => ((4, "0x6"), 48, 64, 192, 128, 320),
        };
        let mut words = outer.to_vec();
        words.push(wrap.plain(family));
        words.extend(raw(0, version.0, vec![version.1.to_owned()]));
        let protocols = protocols.iter().flatten();
        words.extend(raw(protocol, 8, protocols.map(u8::to_string).collect()));
        words.extend(raw(
            source,
            length,
            spans(Span::addresses(&filter.source, family)),
        ));
        words.extend(raw(
            destination,
            length,
            spans(Span::addresses(&filter.destination, family)),
        ));
        words.extend(raw(transport, 16, spans(Span::ports(&filter.source_port))));
        words.extend(raw(
            transport + 16,
            16,
            spans(Span::ports(&filter.destination_port)),
        ));
        words.join(" ")
    };
    Family::ALL.into_iter().filter(may).map(inner).collect()
}
