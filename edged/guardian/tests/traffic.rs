//! Traffic rules, proven by packets. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use std::net::{SocketAddr, UdpSocket};

use edged_model::{Protocol, PublishedPort, TrafficRule};
use edged_protocol::guardian::{Abilities, AppPolicy, Command, OwnedRule, Reply};
use rig::{NEVER, Rig, SOON, policy, run};

/// A rule of the owner `owner`, from its filter and its action as JSON.
fn rule(id: &str, priority: u8, kind: &str, filter: &str, action: &str) -> OwnedRule {
    let text = format!(
        r#"{{"id":"{id}","filterType":"{kind}","priority":{priority},"filters":[{filter}],"action":{action},"active":true}}"#
    );
    let rule: TrafficRule = serde_json::from_str(&text).unwrap();
    let owner = "owner".parse().unwrap();
    OwnedRule { owner, rule }
}

fn forward(to: &str) -> String {
    format!(r#"{{"forward-encapsulated":{{"ip":"{to}"}}}}"#)
}

fn duplicate(to: &str, copy: &str) -> String {
    format!(r#"{{"duplicate-encapsulated":[{{"ip":"{to}"}},{{"ip":"{copy}"}}]}}"#)
}

const DROP: &str = "\"drop\"";
const PASS: &str = "\"passthrough\"";

/// Applications `a` (place 2), `b` (3) and `c` (4), of which `a` may reach `b`; the outside knows the way in.
struct Box3 {
    rig: Rig,
    apps: Vec<AppPolicy>,
}

impl Box3 {
    fn new() -> Self {
        let mut rig = Rig::new();
        rig.start();
        for (app, place) in [("a", 2), ("b", 3), ("c", 4)] {
            rig.app(app, place);
        }
        for (net, via) in [
            ("10.80.0.0/16", "192.0.2.1"),
            ("fd00:6d65:63::/64", "2001:db8::1"),
        ] {
            run(&format!("ip -n {}out route add {net} via {via}", rig.name));
        }
        let apps = vec![
            rig.wish("a", 2, &[3]),
            rig.wish("b", 3, &[]),
            rig.wish("c", 4, &[]),
        ];
        let net = Self { rig, apps };
        net.rules(&[]);
        net
    }

    fn rules(&self, rules: &[OwnedRule]) {
        self.rig.apply_with(&self.apps, rules);
    }

    fn socket(&self, space: &str, at: &str) -> UdpSocket {
        self.rig.within(space, || UdpSocket::bind(at).unwrap())
    }

    fn refusal(&self, rules: &[OwnedRule]) -> String {
        let command = Command::Apply {
            policy: policy(&self.apps, rules),
        };
        match self.rig.ask(command) {
            Reply::Refused(refusal) => {
                assert!(!refusal.transient, "{}", refusal.sentence);
                refusal.sentence
            }
            other => panic!("{other:?}"),
        }
    }

    fn abilities(&self) -> Abilities {
        match self.rig.ask(Command::Observe {}) {
            Reply::Observed { abilities, .. } => abilities,
            other => panic!("{other:?}"),
        }
    }
}

/// What arrives, and from whom.
fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = [0; 64];
    let (length, from) = socket.recv_from(&mut bytes).expect("nothing was heard");
    (String::from_utf8(bytes[..length].to_vec()).unwrap(), from)
}

fn silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(NEVER)).unwrap();
    let mut bytes = [0; 64];
    let heard = socket.recv_from(&mut bytes);
    assert!(heard.is_err(), "{heard:?} was heard: {bytes:?}");
}

fn says(from: &UdpSocket, word: &str, to: &str) {
    from.send_to(word.as_bytes(), to).unwrap();
}

#[test]
fn drop_drops_what_matches_and_nothing_else_until_it_is_gone() {
    let net = Box3::new();
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
    let net = Box3::new();
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
    let mut net = Box3::new();
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
    let net = Box3::new();
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
    let net = Box3::new();
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
fn a_flow_that_is_there_already_begins_anew_when_its_rule_comes_and_goes() {
    let net = Box3::new();
    let (b, c) = (net.socket("b", "[::]:80"), net.socket("c", "[::]:80"));
    let a = net.socket("a", "[::]:7000");
    for (to, c_at) in [
        ("[::ffff:10.80.0.3]:80", "10.80.0.4"),
        ("[fd00:6d65:63::3]:80", "fd00:6d65:63::4"),
    ] {
        for _ in 0..2 {
            says(&a, "plain", to);
            let (_, from) = heard(&b);
            b.send_to(b"answer of b", from).unwrap();
            assert_eq!(heard(&a).0, "answer of b");
            net.rules(&[rule(
                "lead",
                9,
                "flow",
                r#"{"protocol":["udp"]}"#,
                &forward(c_at),
            )]);
            says(&a, "led", to);
            let (word, from) = heard(&c);
            assert_eq!(word, "led");
            c.send_to(b"answer of c", from).unwrap();
            // It comes from whom was asked.
            let (word, from) = heard(&a);
            assert_eq!((word.as_str(), from), ("answer of c", to.parse().unwrap()));
            net.rules(&[]);
        }
    }
}

#[test]
fn flow_is_about_answers_too_and_packet_about_each_packet() {
    let net = Box3::new();
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
    use rustix::net::sockopt::{set_ip_tos, set_ipv6_tclass};
    let net = Box3::new();
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
fn packets_go_to_a_neighbour_on_the_uplink_by_its_link_address() {
    let net = Box3::new();
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

#[test]
fn tunnelled_packets_are_known_by_their_outer_and_their_inner_header() {
    let net = Box3::new();
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
    use rustix::net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, sendto, socket,
    };
    let net = Box3::new();
    // IPPROTO_GRE.
    let gre = Protocol::from_raw(47.try_into().unwrap());
    let raw = |space| {
        net.rig.within(space, || {
            socket(AddressFamily::INET, SocketType::RAW, Some(gre)).unwrap()
        })
    };
    let (a, b) = (raw("a"), raw("b"));
    rustix::net::sockopt::set_socket_timeout(&b, rustix::net::sockopt::Timeout::Recv, Some(NEVER))
        .unwrap();
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

#[test]
fn rules_survive_the_guardian_and_the_next_one_goes_on_from_them() {
    let mut net = Box3::new();
    let b = net.socket("b", "0.0.0.0:80");
    let c = net.socket("c", "0.0.0.0:80");
    let a = net.socket("a", "0.0.0.0:0");
    let station = "02:00:00:00:00:01";
    let next = format!(r#"{{"forward-encapsulated":{{"mac":{{"destination":"{station}"}}}}}}"#);
    let rules = [
        rule("drop", 1, "flow", r#"{"destinationPort":["90"]}"#, DROP),
        rule(
            "lead",
            2,
            "packet",
            r#"{"destinationPort":["80"]}"#,
            &forward("10.80.0.4"),
        ),
        rule("next", 3, "packet", r#"{"destinationPort":["81"]}"#, &next),
    ];
    net.rules(&rules);
    says(&a, "led", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "led");
    net.rig.kill();
    says(&a, "still", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "still");
    net.rig.start();
    let fingerprint = Some(policy(&net.apps, &rules).fingerprint());
    let known = |net: &Box3| match net.rig.ask(Command::Observe {}) {
        Reply::Observed { policy, .. } => policy,
        other => panic!("{other:?}"),
    };
    assert_eq!(known(&net), fingerprint);
    says(&a, "yet", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "yet");
    // The next one changes what the last one made, and takes away what nobody needs.
    net.rules(&rules[..1]);
    says(&a, "plain", "10.80.0.3:80");
    assert_eq!(heard(&b).0, "plain");
    let left = net.rig.on_box("ip rule") + &net.rig.on_box("ip neigh show nud permanent");
    assert!(!left.contains("7000:") && !left.contains(station), "{left}");
    let chains = net.rig.on_box("nft list chains");
    assert_eq!(
        chains.matches("chain t").count(),
        3,
        "`traffic`, `to_box` and one of rules: {chains}"
    );
    // And what somebody flushes comes back.
    net.rules(&rules);
    let fingerprint = fingerprint.unwrap();
    net.rig.on_box("nft flush ruleset");
    rig::until("the policy", || {
        net.rig.on_box("nft list ruleset").contains(&fingerprint)
    });
    says(&a, "back", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "back");
}

#[test]
fn a_policy_with_a_rule_that_cannot_be_kept_changes_nothing() {
    let net = Box3::new();
    let b = net.socket("b", "0.0.0.0:80");
    let a = net.socket("a", "0.0.0.0:0");
    let drop = rule("drop", 1, "flow", r#"{"destinationPort":["80"]}"#, DROP);
    net.rules(std::slice::from_ref(&drop));
    let before = net.rig.on_box("nft -s list ruleset");
    for (filter, action, word) in [
        (r#"{"qci":9}"#, DROP.to_owned(), "qCI"),
        (r#"{"tag":["x"]}"#, DROP.to_owned(), "tag"),
        ("{}", forward("127.0.0.1"), "loopback"),
        (r#"{"source":["fd00::1"]}"#, forward("10.80.0.4"), "family"),
    ] {
        let bad = rule("bad", 0, "packet", filter, &action);
        let sentence = net.refusal(&[bad, drop.clone()]);
        assert!(
            sentence.contains("traffic rule bad cannot be kept") && sentence.contains(word),
            "{sentence}"
        );
    }
    assert_eq!(net.rig.on_box("nft -s list ruleset"), before);
    says(&a, "dropped", "10.80.0.3:80");
    silent(&b);
}

#[test]
fn nothing_reaches_the_box_by_a_rule_and_no_rule_keeps_the_operator_out() {
    let net = Box3::new();
    for port in [53, 80, 1883, 2222] {
        net.rig.serve("", port);
    }
    net.rig.serve("b", 80);
    // Everything that is, and the box's own address as a destination.
    net.rules(&[rule("all", 0, "packet", "{}", DROP)]);
    assert_eq!(net.rig.answers("out", "192.0.2.1:2222"), "192.0.2.2");
    assert_eq!(net.rig.answers("a", "10.80.0.1:80"), "10.80.0.2");
    assert_eq!(net.rig.answers("", "10.80.0.3:80"), "10.80.0.1");
    net.rig.is_denied("a", "10.80.0.3:80");
    for kind in ["flow", "packet"] {
        net.rules(&[rule(
            "in",
            0,
            kind,
            r#"{"source":["10.80.0.0/24"]}"#,
            &forward("192.0.2.1"),
        )]);
        net.rig.is_denied("a", "10.80.0.3:2222");
        net.rig.is_denied("a", "192.0.2.9:2222");
        assert_eq!(net.rig.answers("a", "10.80.0.1:80"), "10.80.0.2");
    }
    // Nor does a rule help to lie about who one is.
    run(&format!(
        "ip -n {}a addr add 10.80.0.9/32 dev eth0",
        net.rig.name
    ));
    let b = net.socket("b", "0.0.0.0:90");
    let liar = net.socket("a", "10.80.0.9:0");
    net.rules(&[rule("lie", 0, "packet", "{}", &forward("10.80.0.3"))]);
    says(&liar, "lie", "10.80.0.3:90");
    silent(&b);
}

#[test]
fn a_tunnel_is_made_where_the_kernel_has_its_kind_and_refused_where_it_has_not() {
    let net = Box3::new();
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
    use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};
    let gre = Protocol::from_raw(47.try_into().unwrap());
    let wire = net.rig.within("out", || {
        socket(AddressFamily::INET, SocketType::RAW, Some(gre)).unwrap()
    });
    rustix::net::sockopt::set_socket_timeout(
        &wire,
        rustix::net::sockopt::Timeout::Recv,
        Some(SOON),
    )
    .unwrap();
    let a = net.socket("a", "0.0.0.0:0");
    net.rules(&[tunnel("gre")]);
    says(&a, "wrapped", "198.51.100.7:80");
    let mut packet = [0_u8; 256];
    let (length, _) = recv(&wire, &mut packet, RecvFlags::empty()).expect("nothing on the wire");
    // Outer IPv4 header, GRE of four octets, inner IPv4 header, UDP.
    assert_eq!(packet[20..24], [0, 0, 8, 0]);
    assert_eq!(packet[24 + 12..24 + 20], [10, 80, 0, 2, 198, 51, 100, 7]);
    assert_eq!(&packet[24 + 28..length], b"wrapped");
    net.rules(&[]);
    assert!(!net.rig.on_box("ip -o link").contains("gre 192.0.2.1"));
}
