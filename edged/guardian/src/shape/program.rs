//! The question whether a packet is of a session, in the kernel's classic packet filter (BPF). Pure.
//!
//! A program is written from its end to its beginning: whoever writes a branch knows both places that it leads to.

use std::net::IpAddr;

use edged_model::{AddressRange, IpProtocol, PortRange, SessionFilter};

/// Load a half word from a place of the frame (linux/filter.h, as all codes here).
const LOAD_HALF: u16 = 0x28;
/// Load a word.
const LOAD_WORD: u16 = 0x20;
/// Load a byte.
const LOAD_BYTE: u16 = 0x30;
/// Load a half word behind the index.
const LOAD_HALF_INDEXED: u16 = 0x48;
/// Load a byte behind the index.
const LOAD_BYTE_INDEXED: u16 = 0x50;
/// Load a number.
const LOAD_NUMBER: u16 = 0x00;
/// Load from the scratch memory.
const LOAD_SCRATCH: u16 = 0x60;
/// Store into the scratch memory.
const STORE_SCRATCH: u16 = 0x02;
/// Make the index a number.
const INDEX: u16 = 0x01;
/// Make the index the length of the IPv4 header at a place.
const INDEX_IPV4_HEADER: u16 = 0xb1;
/// Add the index.
const ADD_INDEX: u16 = 0x0c;
/// Add a number.
const ADD: u16 = 0x04;
/// Shift to the left.
const SHIFT: u16 = 0x64;
/// Make the index what is loaded.
const TO_INDEX: u16 = 0x07;
/// Go on elsewhere.
const JUMP: u16 = 0x05;
/// Whether what is loaded equals a number.
const EQUAL: u16 = 0x15;
/// Whether it is greater.
const GREATER: u16 = 0x25;
/// Whether it is greater or equal.
const AT_LEAST: u16 = 0x35;
/// Whether it shares a bit.
const SHARES: u16 = 0x45;
/// Answer with a number.
const ANSWER: u16 = 0x06;

/// Length of an Ethernet header; what every link here begins with.
const ETHERNET: u32 = 14;
/// Where the Ethernet header says what follows it.
const ETHER_TYPE: u32 = 12;
/// `ETH_P_IP`.
const IPV4: u32 = 0x0800;
/// `ETH_P_IPV6`.
const IPV6: u32 = 0x86dd;
/// Length of an IPv6 header.
const IPV6_HEADER: u32 = 40;
/// Bits of the IPv4 header that are not all zero in a fragment behind the first.
const FRAGMENT_OFFSET: u32 = 0x1fff;
/// The same bits of an IPv6 fragment header.
const FRAGMENT_OFFSET_V6: u32 = 0xfff8;
/// The IPv6 fragment header, which has a length of its own.
const FRAGMENT_HEADER: u32 = 44;
/// IPv6 headers that may stand before the one with ports and say how long they are: hop-by-hop, routing, destination.
const OPTION_HEADERS: [u32; 3] = [0, 43, 60];
/// How many of them are looked behind: RFC 8200 (4.1) recommends one of each, the destination's twice,
/// and hardly a packet has two at all.
const HEADERS_BEFORE: usize = 4;
/// Protocols with ports at the beginning of their header.
const WITH_PORTS: [IpProtocol; 5] = [
    IpProtocol::TCP,
    IpProtocol::UDP,
    IpProtocol(33),
    IpProtocol(132),
    IpProtocol(136),
];
/// A branch reaches 255 instructions; one is kept for the jump that the other side may need.
const REACH: usize = 254;

/// Which way packets go past the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the application: as a session filter describes them.
    ToApp,
    /// From the application: the other way round.
    FromApp,
}

/// A program as the kernel takes and shows it: `struct sock_filter` after `struct sock_filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(pub Vec<u8>);

impl Program {
    /// Whether a packet is of IP and of a session; of every session for a filter without members.
    pub fn of(session: &SessionFilter, way: Way) -> Self {
        let (from, to) = (
            (session.source, session.source_port.as_slice()),
            (session.destination, session.destination_port.as_slice()),
        );
        let (sender, receiver) = match way {
            Way::ToApp => (from, to),
            Way::FromApp => (to, from),
        };
        let packet = Packet {
            source: sender.0,
            source_ports: sender.1,
            destination: receiver.0,
            destination_ports: receiver.1,
            protocol: session.protocol,
        };
        let mut code = Code::default();
        let no = code.push(ANSWER, 0);
        // Not zero: yes, and the class is the one that the filter names.
        let yes = code.push(ANSWER, u32::MAX);
        let addresses = || [packet.source, packet.destination].into_iter().flatten();
        let v6 = if addresses().all(|range| !range.is_ipv4()) {
            packet.is_ipv6(&mut code, yes, no)
        } else {
            no
        };
        let other = code.branch(EQUAL, IPV6, v6, no);
        if addresses().all(|range| range.is_ipv4()) {
            let v4 = packet.is_ipv4(&mut code, yes, no);
            code.branch(EQUAL, IPV4, v4, other);
        }
        code.push(LOAD_HALF, ETHER_TYPE);
        code.finish()
    }

    /// Every packet, whatever it is.
    pub fn always() -> Self {
        let mut code = Code::default();
        code.push(ANSWER, u32::MAX);
        code.finish()
    }
}

/// What a packet must look like on its way.
struct Packet<'a> {
    source: Option<AddressRange>,
    source_ports: &'a [PortRange],
    destination: Option<AddressRange>,
    destination_ports: &'a [PortRange],
    protocol: Option<IpProtocol>,
}

impl Packet<'_> {
    fn has_ports(&self) -> bool {
        !self.source_ports.is_empty() || !self.destination_ports.is_empty()
    }

    /// Numbers of the protocols that it may be of; empty: all.
    fn protocols(&self) -> Vec<u32> {
        let protocols = match self.protocol {
            Some(ref protocol) => std::slice::from_ref(protocol),
            None if self.has_ports() => &WITH_PORTS,
            None => &[],
        };
        protocols
            .iter()
            .map(|protocol| u32::from(protocol.0))
            .collect()
    }

    fn is_ipv4(&self, code: &mut Code, yes: Label, no: Label) -> Label {
        let mut next = yes;
        if self.has_ports() {
            self.ports(code, yes, no);
            code.push(INDEX_IPV4_HEADER, ETHERNET);
            // Later fragments carry no ports.
            code.branch(SHARES, FRAGMENT_OFFSET, no, code.here());
            next = code.push(LOAD_HALF, ETHERNET + 6);
        }
        if !self.protocols().is_empty() {
            code.one_of(&self.protocols(), next, no);
            next = code.push(LOAD_BYTE, ETHERNET + 9);
        }
        self.addresses(code, ETHERNET + 12, 4, next, no)
    }

    fn is_ipv6(&self, code: &mut Code, yes: Label, no: Label) -> Label {
        let mut next = yes;
        if !self.protocols().is_empty() {
            if self.has_ports() {
                next = self.ports(code, next, no);
            }
            code.one_of(&self.protocols(), next, no);
            for _ in 0..HEADERS_BEFORE {
                code.behind_header(self.has_ports(), no);
            }
            code.push(STORE_SCRATCH, 0);
            code.push(LOAD_BYTE, ETHERNET + 6);
            next = code.push(INDEX, IPV6_HEADER);
        }
        self.addresses(code, ETHERNET + 8, 16, next, no)
    }

    /// The ports, behind the index.
    fn ports(&self, code: &mut Code, yes: Label, no: Label) -> Label {
        let mut next = yes;
        for (ports, place) in [(self.destination_ports, 2), (self.source_ports, 0)] {
            if !ports.is_empty() {
                let mut other = no;
                for range in ports {
                    let (first, last) = (u32::from(range.first()), u32::from(range.last()));
                    other = code.between(first, last, next, other);
                }
                next = code.push(LOAD_HALF_INDEXED, ETHERNET + place);
            }
        }
        next
    }

    /// The addresses, of which the sender's is at `place`.
    fn addresses(&self, code: &mut Code, place: u32, size: u32, yes: Label, no: Label) -> Label {
        let mut next = yes;
        for (range, place) in [(self.destination, place + size), (self.source, place)] {
            if let Some(range) = range {
                let words = words(range.first()).into_iter().zip(words(range.last()));
                next = code.within(place, &words.collect::<Vec<_>>(), next, no);
            }
        }
        next
    }
}

/// An address as the words that the kernel compares.
fn words(address: IpAddr) -> Vec<u32> {
    match address {
        IpAddr::V4(v4) => vec![v4.to_bits()],
        IpAddr::V6(v6) => {
            let bytes = v6.octets();
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|word| u32::from_be_bytes(*word)).collect()
        }
    }
}

/// One end of a range.
#[derive(Clone, Copy)]
enum Bound {
    Lowest,
    Highest,
}

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy)]
struct Label(usize);

/// A program that is being written, its last instruction first.
#[derive(Default)]
struct Code(Vec<(u16, u8, u8, u32)>);

impl Code {
    /// The instruction written last, which is the first to be done.
    fn here(&self) -> Label {
        Label(self.0.len())
    }

    fn push(&mut self, code: u16, value: u32) -> Label {
        self.0.push((code, 0, 0, value));
        self.here()
    }

    /// How many instructions the next one would have to pass over to come to a label.
    fn distance(&self, to: Label) -> usize {
        self.0.len() - to.0
    }

    /// A label within reach that leads to another.
    fn near(&mut self, to: Label) -> Label {
        if self.distance(to) <= REACH {
            return to;
        }
        self.jump(to)
    }

    fn jump(&mut self, to: Label) -> Label {
        let distance = u32::try_from(self.distance(to)).unwrap_or(u32::MAX);
        self.push(JUMP, distance)
    }

    fn branch(&mut self, code: u16, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let offset = |to| u8::try_from(self.distance(to)).unwrap_or(u8::MAX);
        self.0.push((code, offset(yes), offset(no), value));
        self.here()
    }

    /// Whether what is loaded is one of several.
    fn one_of(&mut self, values: &[u32], yes: Label, no: Label) -> Label {
        let mut other = no;
        for value in values {
            other = self.branch(EQUAL, *value, yes, other);
        }
        other
    }

    /// Whether what is loaded lies between two numbers.
    fn between(&mut self, first: u32, last: u32, yes: Label, no: Label) -> Label {
        if first == last {
            return self.branch(EQUAL, first, yes, no);
        }
        let below = self.branch(GREATER, last, no, yes);
        self.branch(AT_LEAST, first, below, no)
    }

    /// Whether the words at a place of the frame lie within a range, given as pairs of its ends.
    fn within(&mut self, place: u32, range: &[(u32, u32)], yes: Label, no: Label) -> Label {
        let Some((&(first, last), rest)) = range.split_first() else {
            return yes;
        };
        if range.iter().all(|ends| *ends == (0, u32::MAX)) {
            return yes;
        }
        if first == last {
            let next = self.within(place + 4, rest, yes, no);
            self.branch(EQUAL, first, next, no);
            return self.push(LOAD_WORD, place);
        }
        // Between the ends everything is right; on an end the following words decide.
        let on_lowest = self.beyond(Bound::Lowest, place + 4, rest, yes, no);
        let on_highest = self.beyond(Bound::Highest, place + 4, rest, yes, no);
        let inside = self.branch(EQUAL, first, on_lowest, yes);
        let inside = self.branch(EQUAL, last, on_highest, inside);
        self.between(first, last, inside, no);
        self.push(LOAD_WORD, place)
    }

    /// As [`Code::within`] with one end alone: the first word that differs from its end decides.
    fn beyond(
        &mut self,
        bound: Bound,
        place: u32,
        range: &[(u32, u32)],
        yes: Label,
        no: Label,
    ) -> Label {
        let end = |(first, last): (u32, u32)| match bound {
            Bound::Lowest => first,
            Bound::Highest => last,
        };
        let any = end((0, u32::MAX));
        let Some((&ends, rest)) = range.split_first() else {
            return yes;
        };
        if range.iter().all(|ends| end(*ends) == any) {
            return yes;
        }
        let next = self.beyond(bound, place + 4, rest, yes, no);
        let (greater, less) = match bound {
            Bound::Lowest => (yes, no),
            Bound::Highest => (no, yes),
        };
        let differs = self.branch(GREATER, end(ends), greater, less);
        self.branch(EQUAL, end(ends), next, differs);
        self.push(LOAD_WORD, place)
    }

    /// Goes behind one IPv6 header that stands before others. What is loaded, also in the scratch memory, is its kind,
    /// and the index leads to it; then the same holds for the one behind it.
    fn behind_header(&mut self, ports: bool, no: Label) {
        let next = self.here();
        // What is loaded is the header's length.
        self.push(LOAD_SCRATCH, 0);
        self.push(TO_INDEX, 0);
        let advance = self.push(ADD_INDEX, 0);

        self.push(LOAD_NUMBER, 8);
        self.push(STORE_SCRATCH, 0);
        let mut fragment = self.push(LOAD_BYTE_INDEXED, ETHERNET);
        if ports {
            // Later fragments carry no ports.
            self.branch(SHARES, FRAGMENT_OFFSET_V6, no, fragment);
            fragment = self.push(LOAD_HALF_INDEXED, ETHERNET + 2);
        }

        self.jump(advance);
        // The second byte counts eights beyond the first eight bytes.
        self.push(SHIFT, 3);
        self.push(ADD, 1);
        self.push(LOAD_BYTE_INDEXED, ETHERNET + 1);
        self.push(STORE_SCRATCH, 0);
        let options = self.push(LOAD_BYTE_INDEXED, ETHERNET);

        let other = self.branch(EQUAL, FRAGMENT_HEADER, fragment, next);
        self.one_of(&OPTION_HEADERS, options, other);
    }

    fn finish(mut self) -> Program {
        self.0.reverse();
        let instructions = self.0.into_iter();
        Program(
            instructions
                .flat_map(|(code, yes, no, value)| {
                    let [low, high] = code.to_ne_bytes();
                    let mut bytes = vec![low, high, yes, no];
                    bytes.extend(value.to_ne_bytes());
                    bytes
                })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
