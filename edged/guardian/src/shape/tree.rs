//! What a device must hold to keep allocations: classes with a rate, and filters that lead packets to them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use edged_model::{Allocation, BitRate, Direction, LeaseNumber, SessionFilter};
use edged_protocol::guardian::Shape;

use super::program::{Program, Way};

/// How much of a second may pass at once: the kernel looks at a waiting queue at the latest a tick later, 4 ms at 250 Hz,
/// and what was missed until then is made up for.
const BURST_PART: u64 = 200;
/// The least that may pass at once: ten full frames, TCP's first window (RFC 6928), so that a short answer is not slowed.
const BURST_MIN: u64 = 10 * 1514;
/// How much of a second may wait: 100 ms, or senders that hear of no loss make everybody wait for longer.
const QUEUE_PART: u64 = 10;
/// The least that may wait: two of the largest packets that a local sender hands over in one piece (GSO), because one that
/// does not fit is lost whole.
const QUEUE_MIN: u64 = 2 * 65_536;
/// The most that may wait; it is memory of the kernel.
const QUEUE_MAX: u64 = 4 << 20;
/// Nanoseconds in the kernel's tick of packet schedulers (`PSCHED_SHIFT` of `net/pkt_sched.h`).
const TICK: u64 = 64;

/// Number of the class of everything that is in no session's.
const WHOLE: u16 = 0xfff;
/// Priority of the filter for it: behind those of sessions.
const LAST: u16 = 0xff;

/// A queue with a rate, in the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Bytes a second.
    pub rate: u64,
    /// How much may pass at once, as the ticks it takes at that rate.
    pub buffer: u32,
    /// Bytes that may wait.
    pub queue: u32,
}

impl Class {
    /// For a rate.
    pub fn of(rate: BitRate) -> Self {
        let rate = rate.bits() / 8;
        let burst = (rate / BURST_PART).max(BURST_MIN);
        let ticks = burst.saturating_mul(1_000_000_000) / rate.max(1) / TICK;
        let queue = (rate / QUEUE_PART).clamp(QUEUE_MIN, QUEUE_MAX);
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            rate,
            buffer: small(ticks),
            queue: small(queue),
        }
    }
}

/// Leads the packets of a session to a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Number of the class.
    pub class: u16,
    /// Whether a packet is of it.
    pub program: Program,
}

/// Priority and number of a filter.
pub type FilterKey = (u16, u32);

/// All of a device; empty: its packets pass as if we did not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Classes by number.
    pub classes: BTreeMap<u16, Class>,
    /// Filters in the order of being asked.
    pub filters: BTreeMap<FilterKey, Filter>,
}

/// What a place needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// On the way to the application: the host's end of the link.
    pub to_app: Tree,
    /// On the way from it: the device that its packets are led over.
    pub from_app: Tree,
}

/// What every place needs that has an allocation.
pub fn wanted(shapes: &[Shape]) -> BTreeMap<LeaseNumber, Want> {
    let places: BTreeSet<LeaseNumber> = shapes.iter().map(|shape| shape.place).collect();
    let want = |place: LeaseNumber| {
        let here = shapes.iter().filter(|shape| shape.place == place);
        let here: Vec<&Allocation> = here.map(|shape| &shape.allocation).collect();
        let want = Want {
            to_app: Tree::of(&here, Way::ToApp),
            from_app: Tree::of(&here, Way::FromApp),
        };
        (place, want)
    };
    places.into_iter().map(want).collect()
}

impl Tree {
    /// For the allocations of a link that concern one way. A packet that several of them describe is counted for the
    /// tightest; of several for the whole application, the tightest holds.
    fn of(allocations: &[&Allocation], way: Way) -> Self {
        let mut tree = Self::default();
        let concerned = allocations.iter().filter(|allocation| {
            let only = match way {
                Way::ToApp => Direction::ToApp,
                Way::FromApp => Direction::FromApp,
            };
            allocation.direction == only || allocation.direction == Direction::Both
        });
        let (whole, mut sessions): (Vec<&Allocation>, Vec<&Allocation>) =
            concerned.partition(|allocation| allocation.sessions.is_empty());

        sessions.sort_by_key(|allocation| allocation.id.0.as_str());
        let mut numbered = Vec::new();
        for allocation in sessions {
            let number = tree.number(allocation.id.0.as_str());
            tree.classes.insert(number, Class::of(allocation.rate));
            numbered.push((allocation, number));
        }
        numbered.sort_by_key(|(allocation, _)| allocation.rate);
        for (priority, (allocation, class)) in (1..).zip(numbered) {
            for (number, session) in (1..).zip(&allocation.sessions) {
                let program = Program::of(session, way);
                tree.filters
                    .insert((priority, number), Filter { class, program });
            }
        }
        if let Some(rate) = whole.iter().map(|allocation| allocation.rate).min() {
            let program = Program::of(&SessionFilter::default(), way);
            let class = WHOLE;
            tree.classes.insert(class, Class::of(rate));
            tree.filters.insert((LAST, 1), Filter { class, program });
        }
        tree
    }

    /// A free class number that an allocation keeps while others come and go, but for a rare collision: its hash
    /// (FNV-1a), or what is free behind that.
    fn number(&self, id: &str) -> u16 {
        let hash = id.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let room = WHOLE - 1;
        let first = u16::try_from(hash % u32::from(room)).unwrap_or_default();
        // A link has far fewer allocations than there are numbers.
        (0..room)
            .map(|step| (first + step) % room + 1)
            .find(|number| !self.classes.contains_key(number))
            .unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(id: &str, direction: &str, rate: u64, sessions: &str) -> Shape {
        let text = format!(
            r#"{{"place":2,"allocation":{{"id":"{id}","instance":"a","direction":"{direction}",
            "rate":"{rate}","sessions":{sessions}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn want(shapes: &[Shape]) -> Want {
        wanted(shapes).into_values().next().unwrap()
    }

    #[test]
    fn each_way_has_the_allocations_of_that_way() {
        let shapes = [
            shape("in", "to-app", 8_000_000, "[]"),
            shape("out", "from-app", 16_000_000, "[]"),
        ];
        let want = want(&shapes);
        assert_eq!(want.to_app.classes[&WHOLE].rate, 1_000_000);
        assert_eq!(want.from_app.classes[&WHOLE].rate, 2_000_000);
        let both = wanted(&[shape("x", "both", 8_000_000, "[]")]);
        let both = both.into_values().next().unwrap();
        assert_eq!(both.to_app.classes, both.from_app.classes);
    }

    #[test]
    fn the_tightest_of_several_holds() {
        let port = r#"[{"sourcePort":["9"]}]"#;
        let shapes = [
            shape("a", "to-app", 9_000_000, "[]"),
            shape("b", "to-app", 8_000_000, "[]"),
            shape("c", "to-app", 7_000_000, port),
            shape("d", "to-app", 6_000_000, port),
        ];
        let tree = want(&shapes).to_app;
        let asked = tree.filters.values();
        let rates: Vec<u64> = asked
            .map(|filter| tree.classes[&filter.class].rate * 8)
            .collect();
        assert_eq!(rates, [6_000_000, 7_000_000, 8_000_000]);
    }

    #[test]
    fn an_allocation_keeps_its_class_while_others_come_and_go() {
        let port = r#"[{"sourcePort":["9"]}]"#;
        let named = |ids: &[&str]| -> Vec<Shape> {
            let shapes = (1_u64..).zip(ids);
            shapes
                .map(|(n, id)| shape(id, "to-app", n * 8_000_000, port))
                .collect()
        };
        let number = |ids: &[&str], rate: u64| {
            let classes = want(&named(ids)).to_app.classes;
            let mut found = classes.iter().filter(|(_, class)| class.rate == rate);
            *found.next().unwrap().0
        };
        assert_eq!(
            number(&["x", "y", "z"], 2_000_000),
            number(&["w", "y"], 2_000_000)
        );
        // Two ids of one hash have two classes.
        let mut tree = Tree::default();
        let first = tree.number("x");
        tree.classes
            .insert(first, Class::of("8000".parse().unwrap()));
        assert_ne!(tree.number("x"), first);
    }

    #[test]
    fn a_class_takes_ten_frames_at_once_and_waits_for_a_tenth_of_a_second() {
        let slow = Class::of("8000".parse().unwrap());
        assert_eq!((slow.rate, slow.queue), (1_000, 131_072));
        assert_eq!(u64::from(slow.buffer) * TICK / 1_000_000, 15_140);
        let fast = Class::of("100000000000".parse().unwrap());
        assert_eq!((fast.rate, fast.queue), (12_500_000_000, 4 << 20));
        // 5 ms, less what the tick rounds off.
        assert_eq!(u64::from(fast.buffer) * TICK, 5_000_000);
    }
}
