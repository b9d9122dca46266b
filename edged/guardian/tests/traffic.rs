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
