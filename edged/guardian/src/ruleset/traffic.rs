//! Traffic rules (ETSI GS MEC 011) as chains and sets of our table.
//!
//! # Which packets
//! Every packet that comes to the box to be forwarded, by whatever link, and every packet for a published port, as it
//! arrives: before any address is translated. Never a packet for the box itself: its door, its interfaces, its resolver
//! and its broker are out of every rule's reach, and so is what edged itself sends. Of the packets for an address of
//! the box exactly those are judged that a published port leads on, and answers to what applications asked outside.
//!
//! # Where
//! | hook, priority | chain | does |
//! |---|---|---|
//! | prerouting, raw (-300) | `source` | drops spoofed senders: before any rule is asked |
//! | prerouting, mangle (-150) | `traffic` | decides: the first rule that matches sets a mark, accepts or drops |
//! | prerouting, -149 (`ip`, `ip6`) | `copy` | makes the copies |
//! | output, raw (`ip`, `ip6`) | `copied` | addresses the copies |
//! | prerouting, -101 | `lead` | gives flows their new destination, before ports are published |
//! | prerouting, -99 | `readdress` | gives single packets theirs, behind the translation of addresses |
//! | forward, filter | `forward` | lets marked packets through that go where their mark says |
//! | postrouting, srcnat | `leave` | lends flows that are led outside the box's address: so answers come back |
//!
//! # Against default deny
//! DROP and PASSTHROUGH open nothing. FORWARD and DUPLICATE are the operator's permission for exactly the packets that
//! match and go where the rule says, and for the answers to flows; the permission ends with the rule, also for flows
//! that are alive. What a rule sends to an address of the box is dropped: nothing reaches the box by a rule.
//!
//! # FLOW and PACKET
//! A flow whose first packet is dropped has not begun: its next packet is a first one.
//! FLOW: the destination of the connection is replaced (DNAT), so its answers find the way back and bear the address
//! that was asked for. A connection that is there already when the rule comes begins anew ([`crate::conntrack`]).
//! PACKET: the destination address of each packet is replaced, and nothing is remembered: an answer is a packet by
//! itself. A packet that is sent to a neighbour or into a tunnel keeps its addresses in both cases.
//! FORWARD and DUPLICATE with DECAPSULATED and tunnel addresses in the filter: the box is the end of that tunnel (GRE), and
//! the rule is about what comes out of it; answers leave by the box's own routes. Without tunnel addresses there is
//! nothing to be taken out of: packets are sent as they are.
//! What comes out of a tunnel and matches no such rule ends here.
//! DUPLICATE copies what FORWARD sends, not the answers; the copy bears the second destination's address.
//!
//! # Size
//! Rules are kept in chains of a few, each named by its content, so that the change of one rule writes one small chain
//! and the list of chains, however many rules there are.

use std::collections::{BTreeMap, BTreeSet};

use edged_model::{TrafficAction, TrafficRule};
use edged_protocol::guardian::OwnedRule;

use super::course::{Course, Courses, Kind, Marks, Way, number};
use super::filter::{questions, remembered, unremembered};
use super::words::{Family, line};

/// One rule in so many ends its chain: so long are chains on average.
const CHAIN_MEAN: u64 = 16;
/// And none is longer.
const CHAIN_MAX: usize = 64;
/// The question after the other direction of a flow, which does not come out of the tunnel that the flow came from.
const ANSWERS: &str = "ct direction reply";
/// Longest comment; the kernel takes 128 octets (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_MAX: usize = 100;

/// Traffic rules, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Courses and their numbers.
    pub courses: Courses,
    /// Chains of rules by name.
    chains: BTreeMap<String, Vec<String>>,
    /// Their order.
    order: Vec<String>,
    /// What the named sets hold: family of the table, name, elements.
    sets: BTreeMap<(&'static str, String), BTreeSet<String>>,
    /// What is written into connections' marks.
    remembered: Vec<String>,
}

impl Traffic {
    /// Of rules in their order; `before` is what the kernel has, `taken` are numbers that are not to be given.
    pub fn of(
        rules: &[OwnedRule],
        marks: Marks,
        before: &Courses,
        taken: &BTreeSet<u16>,
        route: impl Fn(&Way) -> Option<String>,
    ) -> Self {
        let wanted = rules.iter().filter_map(|owned| Course::of(&owned.rule));
        let courses = number(wanted, before, taken);
        let mut traffic = Self {
            sets: sets(&courses, marks, &route),
            remembered: remembered(rules.iter().map(|owned| &owned.rule)),
            ..Self::default()
        };
        let mut chain = Vec::new();
        let mut length = 0;
        for owned in rules {
            let lines = lines(owned, marks, &courses, &route);
            let hash = hash(lines.iter());
            chain.extend(lines);
            length += 1;
            // The lower bits of this hash are of the lower bits of letters alone.
            if length >= CHAIN_MAX || (hash >> 32) % CHAIN_MEAN == 0 {
                traffic.close(std::mem::take(&mut chain));
                length = 0;
            }
        }
        traffic.close(chain);
        traffic.courses = courses;
        traffic
    }

    fn close(&mut self, chain: Vec<String>) {
        if !chain.is_empty() {
            let name = format!("t{:016x}", hash(chain.iter()));
            self.order.push(name.clone());
            self.chains.insert(name, chain);
        }
    }

    /// Whether a chain of our table is one of those that rules are kept in.
    pub fn is_chain(name: &str) -> bool {
        name.strip_prefix('t')
            .is_some_and(|hex| hex.len() == 16 && hex.chars().all(|c| c.is_ascii_hexdigit()))
    }

    /// The rules of `traffic`, `to_box` and `decide`, the chains that are there whatever the rules are.
    pub fn fixed(
        &self,
        links: &str,
        published: Vec<String>,
        marks: Marks,
    ) -> [(&'static str, Vec<String>); 4] {
        if self.order.is_empty() {
            return ["traffic", "to_box", "decide", "remember"].map(|name| (name, Vec::new()));
        }
        let mut traffic = vec![format!("meta mark {} meta mark set 0", marks.all())];
        if !self.remembered.is_empty() {
            traffic.push(format!("{} jump remember", unremembered()));
        }
        traffic.push("fib daddr type local goto to_box".to_owned());
        // Not "unicast": of IPv6 that is only what the table that everybody uses leads somewhere.
        traffic.push("fib daddr type { broadcast, multicast, anycast } return".to_owned());
        traffic.push("goto decide".to_owned());
        let mut to_box = vec![
            format!("iifname {links} return"),
            "ct direction reply ct status snat goto decide".to_owned(),
        ];
        to_box.extend(published);
        let decide = self.order.iter().map(|name| format!("jump {name}"));
        [
            ("traffic", traffic),
            ("to_box", to_box),
            ("decide", decide.collect()),
            ("remember", self.remembered.clone()),
        ]
    }

    /// What has to be written before the fixed chains: elements of sets, and chains of rules that `before` does not have.
    pub fn arrivals(&self, before: &Self, table: &str) -> String {
        let mut text = String::new();
        let none = BTreeSet::new();
        for (key, had) in &before.sets {
            let elements = self.sets.get(key).unwrap_or(&none);
            Self::elements(&mut text, "delete", key, had.difference(elements), table);
        }
        for (key, elements) in &self.sets {
            let had = before.sets.get(key).unwrap_or(&none);
            Self::elements(&mut text, "add", key, elements.difference(had), table);
        }
        let new = |name: &&String| !before.chains.contains_key(*name);
        for name in self.chains.keys().filter(new) {
            line(&mut text, format_args!("add chain inet {table} {name}"));
            // A chain that a guardian before us has left, changed by somebody.
            line(&mut text, format_args!("flush chain inet {table} {name}"));
        }
        line(&mut text, format_args!("table inet {table} {{"));
        for (name, rules) in self.chains.iter().filter(|(name, _)| new(name)) {
            line(&mut text, format_args!("chain {name} {{"));
            for rule in rules {
                line(&mut text, format_args!("{rule}"));
            }
            line(&mut text, format_args!("}}"));
        }
        line(&mut text, format_args!("}}"));
        text
    }

    fn elements<'a>(
        text: &mut String,
        verb: &str,
        (family, name): &(&'static str, String),
        elements: impl Iterator<Item = &'a String>,
        table: &str,
    ) {
        // A map's element is deleted by its key alone.
        let elements: Vec<&str> = elements
            .map(|element| match element.split_once(" : ") {
                Some((key, _)) if verb == "delete" => key,
                _ => element,
            })
            .collect();
        if !elements.is_empty() {
            let elements = elements.join(", ");
            line(
                text,
                format_args!("{verb} element {family} {table} {name} {{ {elements} }}"),
            );
        }
    }

    /// What is taken away after the fixed chains no longer lead there: chains of rules, by name.
    pub fn departures<'a>(
        &self,
        there: impl IntoIterator<Item = &'a String>,
        table: &str,
    ) -> String {
        let mut text = String::new();
        for name in there {
            if !self.chains.contains_key(name) {
                line(&mut text, format_args!("delete chain inet {table} {name}"));
            }
        }
        text
    }

    /// Names of the chains of rules.
    pub fn chains(&self) -> impl Iterator<Item = &String> {
        self.chains.keys()
    }
}

/// Declarations of the named sets of the table.
pub fn declared_sets() -> String {
    let mut text = String::new();
    for family in Family::ALL {
        let (digit, address) = (family.digit(), family.address_type());
        // Where a mark leads: flows, and packets.
        for name in ["lead", "readdress"] {
            line(
                &mut text,
                format_args!("map {name}{digit} {{ type mark : {address}; }}"),
            );
        }
        // Marked packets that are let through: to an address, and from it.
        for name in ["led", "answer"] {
            line(
                &mut text,
                format_args!("set {name}{digit} {{ type mark . {address}; }}"),
            );
        }
    }
    // The same where a route leads.
    for name in ["routed", "routed_answer"] {
        line(
            &mut text,
            format_args!("set {name} {{ type mark . ifname; }}"),
        );
    }
    text
}

/// Names of those sets and maps, with nft's word for their kind.
pub fn set_names() -> impl Iterator<Item = (&'static str, String)> {
    let of_family = |family: Family| {
        let digit = family.digit();
        [
            ("map", "lead"),
            ("map", "readdress"),
            ("set", "led"),
            ("set", "answer"),
        ]
        .map(|(kind, name)| (kind, format!("{name}{digit}")))
    };
    let routed = ["routed", "routed_answer"].map(|name| ("set", name.to_owned()));
    Family::ALL.into_iter().flat_map(of_family).chain(routed)
}

/// The tables for copies: nftables copies packets in tables of one family alone.
pub fn copy_tables(table: &str, marks: Marks) -> String {
    let mut text = String::new();
    let all = marks.all();
    for family in Family::ALL {
        let (word, address) = (family.word(), family.address_type());
        line(
            &mut text,
            format_args!(
                "table {word} {table} {{\n\
                 map copies {{ type mark : {address}; }}\n\
                 chain copy {{ type filter hook prerouting priority -149; policy accept; }}\n\
                 chain copied {{ type filter hook output priority raw; policy accept; }}\n}}\n\
                 flush chain {word} {table} copy\n\
                 flush chain {word} {table} copied\n\
                 table {word} {table} {{\n\
                 chain copy {{\nmeta mark {all} dup to meta mark map @copies\n}}\n\
                 chain copied {{\nmeta mark {all} ct state untracked {word} daddr set meta mark map @copies\n}}\n}}"
            ),
        );
    }
    text
}

fn sets(
    courses: &Courses,
    marks: Marks,
    route: impl Fn(&Way) -> Option<String>,
) -> BTreeMap<(&'static str, String), BTreeSet<String>> {
    let mut sets: BTreeMap<(&'static str, String), BTreeSet<String>> = BTreeMap::new();
    let mut put = |table: &'static str, name: String, element: String| {
        sets.entry((table, name)).or_default().insert(element);
    };
    for (course, number) in courses {
        let mark = |kind| format!("{:#010x}", marks.mark(kind, *number));
        let own = mark(kind(course));
        match course.way {
            Way::Address(address) => {
                let digit = Family::of(address).digit();
                let map = if course.flow { "lead" } else { "readdress" };
                put(
                    "inet",
                    format!("{map}{digit}"),
                    format!("{own} : {address}"),
                );
                put("inet", format!("led{digit}"), format!("{own} . {address}"));
                if course.flow {
                    let answer = mark(Kind::Answer);
                    put(
                        "inet",
                        format!("answer{digit}"),
                        format!("{answer} . {address}"),
                    );
                }
            }
            Way::Neighbour(_) | Way::Tunnel(_) => {
                if let Some(link) = route(&course.way) {
                    put("inet", "routed".to_owned(), format!("{own} . \"{link}\""));
                    if course.flow {
                        let answer = mark(Kind::RoutedAnswer);
                        let element = format!("{answer} . \"{link}\"");
                        put("inet", "routed_answer".to_owned(), element);
                    }
                }
            }
        }
        if let Some(copy) = course.copy {
            let table = Family::of(copy).word();
            put(table, "copies".to_owned(), format!("{own} : {copy}"));
        }
    }
    sets
}

/// Whether a rule gives connections another destination.
pub fn leads_flows(rule: &TrafficRule) -> bool {
    Course::of(rule).is_some_and(|course| course.flow && matches!(course.way, Way::Address(_)))
}

/// What the mark of a packet that takes this course says.
pub fn kind(course: &Course) -> Kind {
    match course.way {
        Way::Address(_) if course.flow => Kind::Flow,
        Way::Address(_) => Kind::Packet,
        Way::Neighbour(_) | Way::Tunnel(_) => Kind::Routed,
    }
}

/// The lines of a rule.
fn lines(
    owned: &OwnedRule,
    marks: Marks,
    courses: &Courses,
    route: impl Fn(&Way) -> Option<String>,
) -> Vec<String> {
    let OwnedRule { owner, rule } = owned;
    let course = Course::of(rule);
    let family = course.as_ref().and_then(Course::family);
    let verdicts = verdicts(rule, course.as_ref(), marks, courses);
    let name: String = format!("{owner} {}", rule.id)
        .chars()
        .take(COMMENT_MAX)
        .collect();
    let mut lines = Vec::new();
    for filter in &rule.filters {
        // Out of a tunnel of ours, a packet is one like all others, that has come by the tunnel's link.
        let tunnel = (edged_net::decapsulates(rule) && edged_net::looks_at_tunnels(filter))
            .then(|| edged_net::tunnel_of(filter))
            .flatten();
        let from = tunnel.and_then(|ends| route(&Way::Tunnel(ends)));
        let inner = from.as_ref().map(|_| edged_net::inner(filter));
        let filter = inner.as_ref().unwrap_or(filter);
        for question in questions(filter, rule.filter_type, family) {
            for verdict in &verdicts {
                let link = match &from {
                    Some(link) if !verdict.starts_with(ANSWERS) => format!("iifname \"{link}\" "),
                    _ => String::new(),
                };
                let text = format!("{link}{question} {verdict} comment \"{name}\"");
                lines.push(text.trim_start().to_owned());
            }
        }
    }
    lines
}

fn verdicts(
    rule: &TrafficRule,
    course: Option<&Course>,
    marks: Marks,
    courses: &Courses,
) -> Vec<String> {
    let numbered = course.and_then(|course| Some((course, *courses.get(course)?)));
    let Some((course, number)) = numbered else {
        return match rule.action {
            TrafficAction::Passthrough => vec!["counter accept".to_owned()],
            // A rule that sends packets and got no number cannot be: there are more numbers than rules.
            _ => vec!["counter drop".to_owned()],
        };
    };
    let mark = |kind| {
        format!(
            "counter meta mark set {:#010x} accept",
            marks.mark(kind, number)
        )
    };
    let own = mark(kind(course));
    if !course.flow {
        return vec![own];
    }
    let answer = match course.way {
        Way::Address(_) => Kind::Answer,
        Way::Neighbour(_) | Way::Tunnel(_) => Kind::RoutedAnswer,
    };
    vec![
        format!("ct direction original {own}"),
        format!("{ANSWERS} {}", mark(answer)),
    ]
}

/// FNV-1a over lines.
fn hash<'a>(lines: impl Iterator<Item = &'a String>) -> u64 {
    lines
        .flat_map(|line| line.bytes().chain([b'\n']))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
