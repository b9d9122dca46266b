//! The marks by which the parts of a traffic rule's way through the kernel know each other.
//!
//! One chain decides, and its decision is carried out by others: NAT, policy routing, the copies, the permission to be
//! forwarded. What they have in common is the packet's mark, which says where the packet goes and is set by nobody
//! else: its upper half is this box's own ([`Marks`]), and packets that come in with one lose it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use edged_model::{Destination, FilterType, MacAddress, TrafficAction, TrafficRule, TunnelEnds};

use super::words::Family;

/// Where packets are led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To an address, which they bear as their destination from then on.
    Address(IpAddr),
    /// Unchanged to a neighbour on the uplink.
    Neighbour(MacAddress),
    /// Unchanged into a tunnel.
    Tunnel(TunnelEnds),
}

/// What becomes of the packets of a rule that sends them somewhere: rules of the same course share a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Course {
    /// Where the packet goes.
    pub way: Way,
    /// Where a copy of it goes.
    pub copy: Option<IpAddr>,
    /// Whether whole flows go: answers find the way back.
    pub flow: bool,
}

impl Course {
    /// Of a rule; `None`: its packets go nowhere but their own way, or end.
    pub fn of(rule: &TrafficRule) -> Option<Self> {
        let (to, copy) = match rule.action {
            TrafficAction::Drop | TrafficAction::Passthrough => return None,
            TrafficAction::ForwardDecapsulated(to) | TrafficAction::ForwardEncapsulated(to) => {
                (to, None)
            }
            TrafficAction::DuplicateDecapsulated([to, copy])
            | TrafficAction::DuplicateEncapsulated([to, copy]) => (to, Some(copy)),
        };
        let way = match to {
            Destination::Ip(address) => Way::Address(address),
            Destination::Mac { destination, .. } => Way::Neighbour(destination),
            Destination::Tunnel(ends) => Way::Tunnel(ends),
        };
        let copy = match copy {
            Some(Destination::Ip(address)) => Some(address),
            _ => None,
        };
        let flow = rule.filter_type == FilterType::Flow;
        Some(Self { way, copy, flow })
    }

    /// The one version of IP that it is about, where it is one.
    pub fn family(&self) -> Option<Family> {
        match self.way {
            Way::Address(address) => Some(Family::of(address)),
            Way::Neighbour(_) | Way::Tunnel(_) => self.copy.map(Family::of),
        }
    }
}

/// The tunnels that a rule takes packets out of, by its filters.
pub fn taken_out_of(rule: &TrafficRule) -> impl Iterator<Item = TunnelEnds> {
    let filters = rule.filters.iter();
    filters
        .filter(|filter| edged_net::decapsulates(rule) && edged_net::looks_at_tunnels(filter))
        .filter_map(edged_net::tunnel_of)
}

/// Courses and their numbers.
pub type Courses = BTreeMap<Course, u16>;

/// Numbers for courses: those that `before` has keep theirs, and none gets a number that `before` gave to another, so
/// that a packet on its way through the chains while the policy changes is never led by the wrong one.
pub fn number(
    wanted: impl IntoIterator<Item = Course>,
    before: &Courses,
    taken: &BTreeSet<u16>,
) -> Courses {
    let mut used: BTreeSet<u16> = before.values().chain(taken).copied().collect();
    let mut numbered = Courses::new();
    for course in wanted {
        if numbered.contains_key(&course) {
            continue;
        }
        let number = before
            .get(&course)
            .copied()
            .or_else(|| (1..=Marks::NUMBERS).find(|number| used.insert(*number)));
        if let Some(number) = number {
            numbered.insert(course, number);
        }
    }
    numbered
}

/// What a mark says beside its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A packet of a flow, in the direction of its first.
    Flow,
    /// A packet of a flow, in the other direction: it goes its own way, and is let through.
    Answer,
    /// A packet by itself.
    Packet,
    /// A packet that a route of its own leads.
    Routed,
    /// An answer to a packet that a route of its own has led.
    RoutedAnswer,
}

impl Kind {
    fn bits(self) -> u32 {
        match self {
            Self::Flow => 0x1000,
            Self::Answer => 0x2000,
            Self::Packet => 0x3000,
            Self::Routed => 0x4000,
            Self::RoutedAnswer => 0x5000,
        }
    }
}

/// The marks of a box: `0xPPPPKNNN`, P from the prefix, K the kind, N the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// The highest number of a course: more than there may be rules, twice, because a policy and the one before it have
    /// different ones.
    pub const NUMBERS: u16 = 0xfff;

    /// Of a box whose links have this prefix (FNV-1a): others that mark packets use the lower bits.
    pub fn of(prefix: &str) -> Self {
        let hash = prefix.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        Self((hash & 0xffff_0000) | 0x8000_0000)
    }

    /// The mark of a number.
    pub fn mark(self, kind: Kind, number: u16) -> u32 {
        self.0 | kind.bits() | u32::from(number & Self::NUMBERS)
    }

    /// The number of a course in a mark, where it is one of ours.
    pub fn number_in(self, mark: u32) -> Option<u16> {
        let own = mark & 0xffff_0000 == self.0;
        own.then(|| u16::try_from(mark & u32::from(Self::NUMBERS)).unwrap_or_default())
    }

    /// All of them, as nft writes a range.
    pub fn all(self) -> String {
        format!("{:#010x}-{:#010x}", self.0, self.0 | 0xffff)
    }

    /// Those of a kind, as nft writes a range.
    pub fn kind(self, kind: Kind) -> String {
        let first = self.mark(kind, 0);
        format!("{first:#010x}-{:#010x}", first | u32::from(Self::NUMBERS))
    }
}
