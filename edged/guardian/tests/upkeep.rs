//! What becomes of traffic rules, and of the box, in the long run. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use edged_protocol::guardian::{Command, Reply};
use rig::ruled::{DROP, Node, forward, heard, rule, says, silent};
use rig::{policy, run};

#[test]
fn a_flow_that_is_there_already_begins_anew_when_its_rule_comes_and_goes() {
    let net = Node::new();
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
fn rules_survive_the_guardian_and_the_next_one_goes_on_from_them() {
    let mut net = Node::new();
    let b = net.socket("b", "0.0.0.0:80");
    let c = net.socket("c", "0.0.0.0:80");
    let a = net.socket("a", "0.0.0.0:0");
    let station = "02:00:00:00:00:01";
    let led = format!(r#"{{"forward-encapsulated":{{"mac":{{"destination":"{station}"}}}}}}"#);
    let rules = [
        rule("drop", 1, "flow", r#"{"destinationPort":["90"]}"#, DROP),
        rule(
            "lead",
            2,
            "packet",
            r#"{"destinationPort":["80"]}"#,
            &forward("10.80.0.4"),
        ),
        rule("next", 3, "packet", r#"{"destinationPort":["81"]}"#, &led),
    ];
    net.rules(&rules);
    says(&a, "led", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "led");
    net.rig.kill();
    says(&a, "still", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "still");
    net.rig.start();
    let fingerprint = policy(&net.apps, &rules).fingerprint();
    let known = |net: &Node| match net.rig.ask(Command::Observe {}) {
        Reply::Observed { policy, .. } => policy,
        other => panic!("{other:?}"),
    };
    // Ways are not in the rules: whoever is to keep them open has to be told them again.
    assert_eq!(known(&net), None);
    net.rules(&rules[..2]);
    net.rig.kill();
    net.rig.start();
    let without = Some(policy(&net.apps, &rules[..2]).fingerprint());
    assert_eq!(known(&net), without);
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
    net.rig.on_box("nft flush ruleset");
    rig::until("the policy", || {
        net.rig.on_box("nft list ruleset").contains(&fingerprint)
    });
    says(&a, "back", "10.80.0.3:80");
    assert_eq!(heard(&c).0, "back");
}

#[test]
fn a_policy_with_a_rule_that_cannot_be_kept_changes_nothing() {
    let net = Node::new();
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
    let net = Node::new();
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
