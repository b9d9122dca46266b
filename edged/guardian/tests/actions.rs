//! What traffic rules do to packets. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use edged_model::{Protocol, PublishedPort};
use rig::ruled::{DROP, Node, PASS, duplicate, forward, heard, rule, says, silent};
use rig::{NEVER, SOON, run};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, recv, socket};

#[test]
fn drop_drops_what_matches_and_nothing_else_until_it_is_gone() {
    let net = Node::new();
    let [b80, b90] = ["[::]:80", "[::]:90"].map(|at| net.socket("b", at));
    let a = net.socket("a", "[::]:7000");
    for kind in ["flow", "packet"] {
        for b in ["[::ffff:10.80.0.3]", "[fd00:6d65:63::3]"] {
            let ports = r#"{"destinationPort":["80-89"],"protocol":["udp"]}"#;
            net.rules(&[rule("no-80", 1, kind, ports, DROP)]);
            says(&a, "80", &format!("{b}:80"));
            says(&a, "90", &format!("{b}:90"));
            assert_eq!(heard(&b90).0, "90");
            silent(&b80);
            // TCP to the same port is another matter; so is the rule's absence.
            net.rules(&[]);
            says(&a, "again", &format!("{b}:80"));
            assert_eq!(heard(&b80).0, "again");
        }
    }
}

#[test]
fn priority_decides_and_passthrough_shields_from_lower_rules() {
    let net = Node::new();
    let b = net.socket("b", "0.0.0.0:80");
    let a = net.socket("a", "0.0.0.0:0");
    let every = r#"{"source":["10.80.0.0/24"]}"#;
    let from_a = r#"{"source":["10.80.0.2"],"destinationPort":["80"]}"#;
    net.rules(&[
        rule("pass", 0, "packet", from_a, PASS),
        rule("drop", 255, "packet", every, DROP),
    ]);
    says(&a, "passes", "10.80.0.3:80");
    assert_eq!(heard(&b).0, "passes");
    net.rules(&[
        rule("drop", 0, "packet", every, DROP),
        rule("pass", 255, "packet", from_a, PASS),
    ]);
    says(&a, "dropped", "10.80.0.3:80");
    silent(&b);
    // It opens nothing that default deny closes.
    let c = net.socket("c", "0.0.0.0:80");
    net.rules(&[rule("pass", 0, "packet", "{}", PASS)]);
    says(&a, "denied", "10.80.0.4:80");
    silent(&c);
}

#[test]
fn a_forwarded_flow_goes_where_the_rule_says_and_its_answer_comes_back() {
    let mut net = Node::new();
    net.apps[0].publish.push(PublishedPort {
        host: 8080,
        container: 80,
        protocol: Protocol::Tcp,
    });
    net.rules(&[]);
    for space in ["a", "b", "c", "out"] {
        net.rig.serve(space, 80);
    }
    for (from, to, c, seen) in [
        // One application to another that it may not reach by itself.
        ("a", "10.80.0.3:80", "10.80.0.4", "10.80.0.2"),
        (
            "a",
            "[fd00:6d65:63::3]:80",
            "fd00:6d65:63::4",
            "fd00:6d65:63::2",
        ),
        // From outside, for a published port, before it is published.
        ("out", "192.0.2.1:8080", "10.80.0.4", "192.0.2.2"),
    ] {
        let address = to.rsplit_once(':').unwrap();
        let (bare, port) = (address.0.trim_matches(['[', ']']), address.1);
        let filter = format!(r#"{{"destination":["{bare}"],"destinationPort":["{port}"]}}"#);
        let before = net.rig.call(from, to, NEVER);
        net.rules(&[rule("lead", 9, "flow", &filter, &forward(c))]);
        if port == "8080" {
            // The port stays what was asked for.
            net.rig.serve("c", 8080);
        }
        assert_eq!(net.rig.answers(from, to), seen, "{to}");
        net.rules(&[]);
        assert_eq!(net.rig.call(from, to, NEVER), before, "{to}");
    }
    // Out of the box, where the application may not go by itself, and back.
    let filter = r#"{"source":["10.80.0.2"],"destination":["10.80.0.3"],"destinationPort":["80"]}"#;
    net.rules(&[rule("out", 9, "flow", filter, &forward("192.0.2.2"))]);
    assert_eq!(net.rig.answers("a", "10.80.0.3:80"), "192.0.2.1");
    net.rig.is_denied("a", "192.0.2.2:80");
}

#[test]
fn a_forwarded_packet_bears_its_new_address_and_its_answer_is_a_packet_by_itself() {
    let net = Node::new();
    let (b, c) = (net.socket("b", "[::]:80"), net.socket("c", "[::]:80"));
    let a = net.socket("a", "[::]:7000");
    for (b_at, c_at) in [
        ("10.80.0.3", "10.80.0.4"),
        ("fd00:6d65:63::3", "fd00:6d65:63::4"),
    ] {
        let to = if b_at.contains(':') {
            format!("[{b_at}]:80")
        } else {
            format!("[::ffff:{b_at}]:80")
        };
        let filter = format!(r#"{{"destination":["{b_at}"],"protocol":["udp"]}}"#);
        says(&a, "plain", &to);
        assert_eq!(heard(&b).0, "plain");
        // Of a connection that is there already, too: each packet is judged by itself.
        net.rules(&[rule("lead", 9, "packet", &filter, &forward(c_at))]);
        says(&a, "led", &to);
        let (word, from) = heard(&c);
        assert_eq!((word.as_str(), from.port()), ("led", 7000));
        silent(&b);
        c.send_to(b"answer", from).unwrap();
        silent(&a);
        net.rules(&[]);
        says(&a, "again", &to);
        assert_eq!(heard(&b).0, "again");
    }
}

#[test]
fn a_duplicate_arrives_at_both() {
    let net = Node::new();
    assert!(net.abilities().duplicate, "this kernel makes no copies");
    let (b, c) = (net.socket("b", "[::]:80"), net.socket("c", "[::]:80"));
    let out = net.socket("out", "[::]:80");
    let a = net.socket("a", "[::]:7000");
    for kind in ["flow", "packet"] {
        for (to, first, second) in [
            ("[::ffff:10.80.0.3]:80", "10.80.0.3", "10.80.0.4"),
            ("[fd00:6d65:63::3]:80", "fd00:6d65:63::3", "fd00:6d65:63::4"),
        ] {
            let filter = format!(r#"{{"destination":["{first}"]}}"#);
            net.rules(&[rule("twice", 9, kind, &filter, &duplicate(first, second))]);
            says(&a, "both", to);
            assert_eq!(heard(&b).0, "both", "{kind} {to}");
            assert_eq!(heard(&c).0, "both", "{kind} {to}");
            net.rules(&[]);
            says(&a, "one", to);
            assert_eq!(heard(&b).0, "one");
            silent(&c);
        }
    }
    // Beyond a router, too: the copy is addressed to whom it is for.
    let filter = r#"{"destination":["10.80.0.3"]}"#;
    net.rules(&[rule(
        "twice",
        9,
        "packet",
        filter,
        &duplicate("10.80.0.4", "192.0.2.2"),
    )]);
    says(&a, "away", "[::ffff:10.80.0.3]:80");
    assert_eq!(heard(&c).0, "away");
    assert_eq!(heard(&out).0, "away");
    silent(&b);
}

#[test]
fn packets_go_to_a_neighbour_on_the_uplink_by_its_link_address() {
    let net = Node::new();
    let space = format!("{}out", net.rig.name);
    // A host behind the neighbour, that the box has no route to.
    run(&format!("ip -n {space} addr add 198.51.100.7/32 dev lo"));
    run(&format!(
        "ip -n {space} -6 addr add 2001:db8:7::7/128 dev lo nodad"
    ));
    let station = run(&format!(
        "ip netns exec {space} cat /sys/class/net/eth0/address"
    ));
    let action = format!(
        r#"{{"forward-encapsulated":{{"mac":{{"destination":"{}"}}}}}}"#,
        station.trim()
    );
    net.rig.serve("out", 80);
    for to in ["198.51.100.7:80", "[2001:db8:7::7]:80"] {
        net.rig.is_denied("a", to);
        net.rules(&[rule(
            "next",
            5,
            "flow",
            r#"{"destinationPort":["80"]}"#,
            &action,
        )]);
        let seen = net.rig.answers("a", to);
        assert!(seen == "10.80.0.2" || seen == "fd00:6d65:63::2", "{seen}");
        net.rules(&[]);
        net.rig.is_denied("a", to);
    }
    let out = net.socket("out", "0.0.0.0:81");
    let a = net.socket("a", "0.0.0.0:0");
    net.rules(&[rule(
        "next",
        5,
        "packet",
        r#"{"destinationPort":["81"]}"#,
        &action,
    )]);
    says(&a, "led", "198.51.100.7:81");
    assert_eq!(heard(&out).0, "led");
    // The way is closed while the uplink is down, and open again after it.
    let box_space = &net.rig.name;
    run(&format!("ip -n {box_space} link set up0 down"));
    says(&a, "lost", "198.51.100.7:81");
    silent(&out);
    run(&format!("ip -n {box_space} link set up0 up"));
    rig::until("the way", || {
        says(&a, "again", "198.51.100.7:81");
        out.set_read_timeout(Some(NEVER)).unwrap();
        out.recv_from(&mut [0; 8]).is_ok()
    });
    net.rules(&[]);
    assert!(!net.rig.on_box("ip rule").contains("7000:"));
    assert!(
        !net.rig
            .on_box("ip neigh show nud permanent")
            .contains("169.254.")
    );
}

#[test]
fn a_tunnel_is_made_where_the_kernel_has_its_kind_and_refused_where_it_has_not() {
    let net = Node::new();
    let tunnel = |kind: &str| {
        let ends = format!(r#"{{"kind":"{kind}","source":"192.0.2.1","destination":"192.0.2.2"}}"#);
        let action = format!(r#"{{"forward-encapsulated":{{"tunnel":{ends}}}}}"#);
        rule(
            "wrap",
            4,
            "packet",
            r#"{"destinationPort":["80"]}"#,
            &action,
        )
    };
    let sentence = net.refusal(&[tunnel("gtp-u")]);
    assert!(
        sentence.contains("traffic rule wrap cannot be kept") && sentence.contains("TEID"),
        "{sentence}"
    );
    if !net.abilities().gre {
        println!("this kernel has no GRE tunnels: the rule is refused");
        let sentence = net.refusal(&[tunnel("gre")]);
        assert!(
            sentence.contains("its kernel has no GRE tunnels"),
            "{sentence}"
        );
        return;
    }
    println!("this kernel has GRE tunnels: the packet is encapsulated");
    let gre = rustix::net::Protocol::from_raw(47.try_into().unwrap());
    let wire = net.rig.within("out", || {
        socket(AddressFamily::INET, SocketType::RAW, Some(gre)).unwrap()
    });
    set_socket_timeout(&wire, Timeout::Recv, Some(SOON)).unwrap();
    let a = net.socket("a", "0.0.0.0:0");
    net.rules(&[tunnel("gre")]);
    says(&a, "wrapped", "198.51.100.7:80");
    let mut packet = [0_u8; 256];
    let (length, _) = recv(&wire, &mut packet, RecvFlags::empty()).expect("nothing on the wire");
    // Outer IPv4 header, GRE of four octets, inner IPv4 header, UDP.
    assert_eq!(packet[20..24], [0, 0, 8, 0]);
    assert_eq!(packet[24 + 12..24 + 20], [10, 80, 0, 2, 198, 51, 100, 7]);
    assert_eq!(&packet[24 + 28..length], b"wrapped");
    // What comes out of the tunnel is led on where a rule says so, and ends here where none does.
    let b = net.socket("b", "0.0.0.0:80");
    let arrives = |word: &str| {
        let payload = [&[0, 0, 8, 0][..], &inner(word)].concat();
        let to: std::net::SocketAddr = "192.0.2.1:0".parse().unwrap();
        rustix::net::sendto(&wire, &payload, rustix::net::SendFlags::empty(), &to).unwrap();
    };
    arrives("unasked");
    silent(&b);
    let filter = r#"{"tunnelSource":["192.0.2.2"],"tunnelDestination":["192.0.2.1"],"destinationPort":["80"]}"#;
    for kind in ["flow", "packet"] {
        let action = forward("10.80.0.3").replace("encapsulated", "decapsulated");
        net.rules(&[rule("unwrap", 4, kind, filter, &action)]);
        arrives(kind);
        assert_eq!(heard(&b).0, kind);
    }
    net.rules(&[]);
    assert!(!net.rig.on_box("ip -o link").contains("mec0t"));
}

/// An IPv4 packet from 198.51.100.9 to port 80 of 203.0.113.1, without checksums that nobody asks for.
fn inner(word: &str) -> Vec<u8> {
    let length = u8::try_from(word.len()).unwrap();
    let mut packet = vec![0x45, 0, 0, 28 + length, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([198, 51, 100, 9, 203, 0, 113, 1]);
    let words = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let folded = !((sum >> 16) + (sum & 0xffff)) & 0xffff;
    packet[10..12].copy_from_slice(&u16::try_from(folded).unwrap().to_be_bytes());
    packet.extend([0x23, 0x28, 0, 80, 0, 8 + length, 0, 0]);
    packet.extend(word.as_bytes());
    packet
}
