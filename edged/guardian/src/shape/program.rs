//! The question whether a packet is of a session, in the kernel's classic packet filter (BPF). Pure.

mod code;

use std::net::IpAddr;

use edged_model::{AddressRange, IpProtocol, PortRange, SessionFilter};

use code::{
    ADD, ADD_INDEX, ANSWER, Code, EQUAL, INDEX, INDEX_IPV4_HEADER, LOAD_BYTE, LOAD_BYTE_INDEXED,
    LOAD_HALF, LOAD_HALF_INDEXED, LOAD_NUMBER, LOAD_SCRATCH, Label, SHARES, SHIFT, STORE_SCRATCH,
    TO_INDEX,
};

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
        Self(code.finish())
    }

    /// Every packet, whatever it is.
    pub fn always() -> Self {
        let mut code = Code::default();
        code.push(ANSWER, u32::MAX);
        Self(code.finish())
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
                self.behind_header(code, no);
            }
            code.push(STORE_SCRATCH, 0);
            code.push(LOAD_BYTE, ETHERNET + 6);
            next = code.push(INDEX, IPV6_HEADER);
        }
        self.addresses(code, ETHERNET + 8, 16, next, no)
    }

    /// Goes behind one IPv6 header that stands before others. What is loaded, also in the scratch memory, is its kind,
    /// and the index leads to it; then the same holds for the one behind it.
    fn behind_header(&self, code: &mut Code, no: Label) {
        let next = code.here();
        // What is loaded is the header's length.
        code.push(LOAD_SCRATCH, 0);
        code.push(TO_INDEX, 0);
        let advance = code.push(ADD_INDEX, 0);

        code.push(LOAD_NUMBER, 8);
        code.push(STORE_SCRATCH, 0);
        let mut fragment = code.push(LOAD_BYTE_INDEXED, ETHERNET);
        if self.has_ports() {
            // Later fragments carry no ports.
            code.branch(SHARES, FRAGMENT_OFFSET_V6, no, fragment);
            fragment = code.push(LOAD_HALF_INDEXED, ETHERNET + 2);
        }

        code.jump(advance);
        // The second byte counts eights beyond the first eight bytes.
        code.push(SHIFT, 3);
        code.push(ADD, 1);
        code.push(LOAD_BYTE_INDEXED, ETHERNET + 1);
        code.push(STORE_SCRATCH, 0);
        let options = code.push(LOAD_BYTE_INDEXED, ETHERNET);

        let other = code.branch(EQUAL, FRAGMENT_HEADER, fragment, next);
        code.one_of(&OPTION_HEADERS, options, other);
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

#[cfg(test)]
mod tests;
