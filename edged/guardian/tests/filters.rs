//! Which packets traffic rules mean. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use std::net::{SocketAddr, UdpSocket};

use rig::ruled::{DROP, Node, PASS, forward, heard, rule, says, silent};
use rig::{NEVER, SOON};
use rustix::net::sockopt::{Timeout, set_ip_tos, set_ipv6_tclass, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, sendto, socket,
};

#[test]
fn flow_is_about_answers_too_and_packet_about_each_packet() {
    let net = Node::new();
    let b = net.socket("b", "0.0.0.0:80");
    let a = net.socket("a", "0.0.0.0:7000");
    let from_b = r#"{"source":["10.80.0.3"],"sourcePort":["80"]}"#;
    let ask = |answered: bool| {
        says(&a, "question", "10.80.0.3:80");
        let (_, from) = heard(&b);
        b.send_to(b"answer", from).unwrap();
        if answered {
            assert_eq!(heard(&a).0, "answer");
        } else {
            silent(&a);
        }
    };
    // No flow begins at b; each of its answers does.
    net.rules(&[rule("x", 1, "flow", from_b, DROP)]);
    ask(true);
    net.rules(&[rule("x", 1, "packet", from_b, DROP)]);
    ask(false);
    // The whole of a flow that begins at a; a port of its first packet, not of its answers.
    let to_80 = r#"{"destinationPort":["80"]}"#;
    net.rules(&[
        rule("pass", 1, "packet", r#"{"source":["10.80.0.2"]}"#, PASS),
        rule("x", 2, "flow", to_80, DROP),
    ]);
    ask(false);
    net.rules(&[
        rule("pass", 1, "packet", r#"{"source":["10.80.0.2"]}"#, PASS),
        rule("x", 2, "packet", to_80, DROP),
    ]);
    ask(true);
}

#[test]
fn dscp_and_traffic_class_are_read_of_each_packet_and_of_a_flows_first() {
    let net = Node::new();
    let b = net.socket("b", "[::]:80");
    let [v4, v6] = ["0.0.0.0:0", "[::]:0"].map(|at| net.socket("a", at));
    // 46 is expedited forwarding (RFC 3246); its octet with ECN 1.
    let octet = 46 << 2 | 1;
    let marked = |octet: u8| {
        set_ip_tos(&v4, octet).unwrap();
        set_ipv6_tclass(&v6, u32::from(octet)).unwrap();
    };
    let both = |word: &str, arrives: [bool; 2]| {
        for (socket, to, arrives) in [
            (&v4, "10.80.0.3:80", arrives[0]),
            (&v6, "[fd00:6d65:63::3]:80", arrives[1]),
        ] {
            says(socket, word, to);
            if arrives {
                assert_eq!(heard(&b).0, word, "{to}");
            } else {
                silent(&b);
            }
        }
    };
    net.rules(&[rule("ef", 1, "packet", r#"{"dscp":46}"#, DROP)]);
    marked(octet);
    both("dropped", [false, false]);
    marked(0);
    both("unmarked", [true, true]);
    net.rules(&[rule("class", 1, "packet", r#"{"trafficClass":185}"#, DROP)]);
    marked(octet);
    both("class", [true, false]);
    marked(octet + 1);
    both("another class", [true, true]);
    // The first packet of a flow decides, whatever the others bear.
    let c = net.socket("c", "[::]:80");
    let mark = |socket: &UdpSocket, to: &str, octet: u8| {
        if to.starts_with('[') {
            set_ipv6_tclass(socket, u32::from(octet)).unwrap();
        } else {
            set_ip_tos(socket, octet).unwrap();
        }
    };
    for (filter, to, led) in [
        (r#"{"dscp":46}"#, "10.80.0.3:80", "10.80.0.4"),
        (r#"{"dscp":46}"#, "[fd00:6d65:63::3]:80", "fd00:6d65:63::4"),
        (
            r#"{"trafficClass":185}"#,
            "[fd00:6d65:63::3]:80",
            "fd00:6d65:63::4",
        ),
    ] {
        let at = if to.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        net.rules(&[rule("first", 1, "flow", filter, &forward(led))]);
        for (octets, goes_to) in [([octet, 0], &c), ([0, octet], &b)] {
            let socket = net.socket("a", at);
            for octet in octets {
                mark(&socket, to, octet);
                says(&socket, "flow", to);
                assert_eq!(heard(goes_to).0, "flow", "{filter} {to} {octets:?}");
            }
        }
        net.rules(&[]);
    }
}

#[test]
fn tunnelled_packets_are_known_by_their_outer_and_their_inner_header() {
    let net = Node::new();
    let b = net.socket("b", "0.0.0.0:2152");
    let a = net.socket("a", "0.0.0.0:2152");
    let outer = r#""tunnelSource":["10.80.0.2"],"tunnelDestination":["10.80.0.0/24"]"#;
    let sends = |packet: &[u8], arrives: bool| {
        a.send_to(packet, "10.80.0.3:2152").unwrap();
        if arrives {
            b.set_read_timeout(Some(SOON)).unwrap();
            let (length, _) = b.recv_from(&mut [0; 64]).unwrap();
            assert_eq!(length, packet.len());
        } else {
            silent(&b);
        }
    };
    let (one, two) = ([172, 16, 0, 1], [172, 16, 0, 2]);
    for (kind, filter, first, second) in [
        ("flow", format!("{{{outer}}}"), false, false),
        ("packet", format!("{{{outer}}}"), false, false),
        (
            "packet",
            format!(r#"{{{outer},"tunnelDestinationPort":["2152"]}}"#),
            false,
            false,
        ),
        (
            "packet",
            format!(r#"{{{outer},"tunnelDestinationPort":["2153"]}}"#),
            true,
            true,
        ),
        (
            "packet",
            format!(r#"{{{outer},"source":["172.16.0.1"]}}"#),
            false,
            true,
        ),
        (
            "packet",
            format!(r#"{{{outer},"destination":["172.16.0.2-172.16.0.9","10.0.0.1"]}}"#),
            false,
            true,
        ),
        (
            "packet",
            format!(r#"{{{outer},"protocol":["udp"],"destinationPort":["900-901"]}}"#),
            false,
            true,
        ),
        (
            "packet",
            format!(r#"{{{outer},"source":["fd00::1"]}}"#),
            true,
            true,
        ),
    ] {
        net.rules(&[rule("t", 3, kind, &filter, DROP)]);
        sends(&gtp(one, two, 900), first);
        sends(&gtp(two, one, 902), second);
        // Somebody who looks at the rules sees them.
        assert!(
            net.rig.on_box("nft list ruleset").contains("owner t"),
            "{filter}"
        );
        net.rules(&[]);
    }
    sends(&gtp(one, two, 900), true);
}

#[test]
fn generic_routing_encapsulation_is_seen_in_transit() {
    let net = Node::new();
    // IPPROTO_GRE.
    let gre = Protocol::from_raw(47.try_into().unwrap());
    let raw = |space| {
        net.rig.within(space, || {
            socket(AddressFamily::INET, SocketType::RAW, Some(gre)).unwrap()
        })
    };
    let (a, b) = (raw("a"), raw("b"));
    set_socket_timeout(&b, Timeout::Recv, Some(NEVER)).unwrap();
    let arrives = |source: [u8; 4]| {
        let packet = [vec![0, 0, 8, 0], inner(source, [172, 16, 0, 2], 900)].concat();
        let to: SocketAddr = "10.80.0.3:0".parse().unwrap();
        sendto(&a, &packet, SendFlags::empty(), &to).unwrap();
        recv(&b, &mut [0_u8; 128], RecvFlags::empty()).is_ok()
    };
    assert!(arrives([172, 16, 0, 1]));
    for (filter, one, two) in [
        (r#"{"tunnelSource":["10.80.0.2"]}"#, false, false),
        (
            r#"{"tunnelSource":["10.80.0.2"],"source":["172.16.0.1"]}"#,
            false,
            true,
        ),
        (r#"{"tunnelSource":["10.80.0.9"]}"#, true, true),
        (r#"{"protocol":["gre"]}"#, false, false),
    ] {
        net.rules(&[rule("gre", 3, "packet", filter, DROP)]);
        assert_eq!(
            [arrives([172, 16, 0, 1]), arrives([172, 16, 0, 9])],
            [one, two],
            "{filter}"
        );
    }
}

/// A GTP-U packet of a user with an inner UDP packet, as on the wire behind the outer UDP header.
fn gtp(inner_source: [u8; 4], inner_destination: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![0x30, 0xff, 0, 28, 0, 0, 0, 7];
    packet.extend(inner(inner_source, inner_destination, port));
    packet
}

fn inner(source: [u8; 4], destination: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([source, destination].concat());
    packet.extend([1, 0]);
    packet.extend(port.to_be_bytes());
    packet.extend([0, 8, 0, 0]);
    packet
}
