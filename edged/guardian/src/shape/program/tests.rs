//! Programs on a machine as the kernel's, and beside a reading of the same filter that is not a program.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::code::{AT_LEAST, GREATER, JUMP, LOAD_WORD};
use super::*;

/// Does what Documentation/networking/filter.rst says of each instruction; what reads beyond the packet is a no.
fn run(program: &Program, packet: &[u8]) -> u32 {
    let (instructions, rest) = program.0.as_chunks::<8>();
    assert!(rest.is_empty());
    let load = |at: u32, size: u32| -> Option<u32> {
        let (at, size) = (usize::try_from(at).unwrap(), usize::try_from(size).unwrap());
        let bytes = packet.get(at..at + size)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
        )
    };
    let (mut at, mut a, mut x) = (0, 0_u32, 0_u32);
    let mut scratch = None;
    loop {
        let [c0, c1, yes, no, k0, k1, k2, k3] = instructions[at];
        let k = u32::from_ne_bytes([k0, k1, k2, k3]);
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { yes } else { no });
        let loaded = match u16::from_ne_bytes([c0, c1]) {
            LOAD_HALF => load(k, 2),
            LOAD_WORD => load(k, 4),
            LOAD_BYTE => load(k, 1),
            LOAD_HALF_INDEXED => load(x + k, 2),
            LOAD_BYTE_INDEXED => load(x + k, 1),
            LOAD_NUMBER => Some(k),
            LOAD_SCRATCH => Some(scratch.expect("read before it was written")),
            code => {
                match code {
                    STORE_SCRATCH => scratch = Some(a),
                    INDEX => x = k,
                    INDEX_IPV4_HEADER => match load(k, 1) {
                        Some(byte) => x = (byte & 15) * 4,
                        None => return 0,
                    },
                    ADD_INDEX => a += x,
                    ADD => a += k,
                    SHIFT => a <<= k,
                    TO_INDEX => x = a,
                    JUMP => at += usize::try_from(k).unwrap(),
                    EQUAL => branch(a == k),
                    GREATER => branch(a > k),
                    AT_LEAST => branch(a >= k),
                    SHARES => branch(a & k != 0),
                    ANSWER => return k,
                    other => panic!("no instruction {other:#x}"),
                }
                Some(a)
            }
        };
        match loaded {
            Some(value) => a = value,
            None => return 0,
        }
    }
}

#[derive(Debug, Clone)]
struct Sent {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: (u16, u16),
    /// Words of options, or headers before that of the protocol.
    before: u8,
}

impl Sent {
    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2; 12];
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([
                    8,
                    0,
                    0x45 + self.before,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0x40,
                    0,
                    64,
                    self.protocol,
                    0,
                    0,
                ]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(vec![1; usize::from(self.before) * 4]);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let kinds = [0, 60, 43, 60];
                let mut kinds: Vec<u8> = kinds[..usize::from(self.before)].to_vec();
                kinds.push(self.protocol);
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, kinds[0], 255]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                for next in &kinds[1..] {
                    frame.extend([*next, 1]);
                    frame.extend([7; 14]);
                }
            }
            _ => unreachable!(),
        }
        frame.extend(self.ports.0.to_be_bytes());
        frame.extend(self.ports.1.to_be_bytes());
        frame.extend([0; 8]);
        frame
    }

    fn matches(&self, session: &SessionFilter) -> bool {
        let address = |range: Option<AddressRange>, address| {
            range.is_none_or(|range| range.contains(address))
        };
        let port = |ranges: &[PortRange], port| {
            ranges.is_empty()
                || IpProtocol(self.protocol).has_ports()
                    && ranges
                        .iter()
                        .any(|range| (range.first()..=range.last()).contains(&port))
        };
        address(session.source, self.source)
            && address(session.destination, self.destination)
            && port(&session.source_port, self.ports.0)
            && port(&session.destination_port, self.ports.1)
            && session
                .protocol
                .is_none_or(|protocol| protocol.0 == self.protocol)
    }

    fn back(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ports: (self.ports.1, self.ports.0),
            ..self.clone()
        }
    }
}

/// Addresses whose words are few values, so that ranges and packets meet in every word.
fn address(v4: bool) -> impl Strategy<Value = IpAddr> {
    let word = || prop_oneof![Just(0), 0..4_u32, Just(u32::MAX), Just(u32::MAX - 1)];
    (word(), word(), word(), word()).prop_map(move |(a, b, c, d)| {
        if v4 {
            return Ipv4Addr::from_bits(a).into();
        }
        let bits = [a, b, c, d]
            .into_iter()
            .fold(0, |sum, word| sum << 32 | u128::from(word));
        Ipv6Addr::from_bits(bits).into()
    })
}

fn range(v4: bool) -> impl Strategy<Value = Option<AddressRange>> {
    let ends = (address(v4), address(v4));
    proptest::option::of(
        ends.prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)).parse().unwrap()),
    )
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (0..9_u16, 0..3_u16)
        .prop_map(|(first, more)| format!("{first}-{}", first + more).parse().unwrap());
    proptest::collection::vec(range, 0..16)
}

fn session(v4: bool) -> impl Strategy<Value = SessionFilter> {
    let protocol = proptest::option::of(proptest::sample::select(vec![
        IpProtocol::TCP,
        IpProtocol::UDP,
    ]));
    (range(v4), ports(), range(v4), ports(), protocol).prop_map(
        |(source, source_port, destination, destination_port, protocol)| SessionFilter {
            source,
            source_port,
            destination,
            destination_port,
            protocol,
        },
    )
}

fn sent(v4: bool) -> impl Strategy<Value = Sent> {
    let protocol = proptest::sample::select(vec![6, 17, 1, 132]);
    (
        address(v4),
        address(v4),
        protocol,
        (0..12_u16, 0..12_u16),
        0..=4_u8,
    )
        .prop_map(|(source, destination, protocol, ports, before)| Sent {
            source,
            destination,
            protocol,
            ports,
            before,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_program_says_of_every_packet_what_its_filter_says(
        (session, sent) in any::<bool>().prop_flat_map(|v4| (session(v4), sent(v4)))
    ) {
        let matches = sent.matches(&session);
        let there = run(&Program::of(&session, Way::ToApp), &sent.frame()) != 0;
        prop_assert_eq!(there, matches);
        let back = run(&Program::of(&session, Way::FromApp), &sent.back().frame()) != 0;
        prop_assert_eq!(back, matches);
    }

    #[test]
    fn no_packet_is_of_a_session_of_the_other_family(session in session(true), sent in sent(false)) {
        let named = session.source.is_some() || session.destination.is_some();
        let there = run(&Program::of(&session, Way::ToApp), &sent.frame()) != 0;
        prop_assert!(!(named && there));
    }
}

fn udp(port: &str) -> Program {
    let session = SessionFilter {
        destination_port: vec![port.parse().unwrap()],
        ..SessionFilter::default()
    };
    Program::of(&session, Way::ToApp)
}

fn fragment(v4: bool, offset: u8) -> Vec<u8> {
    let (source, destination) = if v4 {
        (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into())
    } else {
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
    };
    let sent = Sent {
        source,
        destination,
        protocol: 17,
        ports: (7, 7),
        before: 0,
    };
    let mut frame = sent.frame();
    if v4 {
        frame[21] = offset;
    } else {
        frame[20] = 44;
        frame.splice(54..54, [17, 0, 0, offset << 3, 0, 0, 0, 1]);
    }
    frame
}

#[test]
fn a_later_fragment_has_no_ports_and_a_first_one_has() {
    for v4 in [true, false] {
        assert_ne!(run(&udp("7"), &fragment(v4, 0)), 0);
        assert_eq!(run(&udp("7"), &fragment(v4, 1)), 0);
    }
}

#[test]
fn what_is_not_ip_is_of_no_session() {
    let whole = Program::of(&SessionFilter::default(), Way::ToApp);
    assert_ne!(run(&whole, &fragment(true, 0)), 0);
    let mut arp = fragment(true, 0);
    arp[13] = 6;
    assert_eq!(run(&whole, &arp), 0);
    assert_ne!(run(&Program::always(), &arp), 0);
}

#[test]
fn the_longest_program_fits_one_answer_of_the_kernel() {
    let ports: Vec<PortRange> = (0..16)
        .map(|n| format!("{}-{}", n * 4, n * 4 + 1).parse().unwrap())
        .collect();
    let range = "fd00::1:2:3:4-fd01:1:2:3:4:5:6:7".parse().unwrap();
    let session = SessionFilter {
        source: Some(range),
        source_port: ports.clone(),
        destination: Some(range),
        destination_port: ports,
        protocol: None,
    };
    let length = Program::of(&session, Way::ToApp).0.len();
    // A page, less the rest of the message and the kernel's own bookkeeping of the answer.
    assert!(length < 3000, "{length} bytes");
}
