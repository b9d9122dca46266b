//! The text of the transaction, without a kernel.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use edged_config::Config;
use edged_guardian::opening::Opening;
use edged_guardian::ruleset::{PolicyError, Ruleset, There};
use edged_model::{Lease, LeaseNumber, Protocol, PublishedPort};
use edged_protocol::guardian::{Abilities, AppPolicy, OwnedRule, Policy};
use proptest::prelude::*;

fn config() -> Config {
    let text = "version = 1\n[node]\nstate = \"/s\"\nrun = \"/r\"\n[network]\nuplink = \"eth0\"\n";
    toml::from_str(text).unwrap()
}

fn lease(place: u16) -> Lease {
    let number = LeaseNumber::try_from(place).unwrap();
    config().addressing().unwrap().lease(number)
}

fn app(place: u16) -> AppPolicy {
    AppPolicy {
        instance: format!("i{place}").parse().unwrap(),
        lease: lease(place),
        reach: Vec::new(),
        publish: Vec::new(),
        egress: false,
    }
}

fn both(place: u16) -> [IpAddr; 2] {
    [lease(place).v4.into(), lease(place).v6.into()]
}

fn compile(apps: &[AppPolicy]) -> Result<String, PolicyError> {
    let policy = Policy {
        apps: apps.to_vec(),
        ..Policy::default()
    };
    let ruleset = Ruleset::of(&config()).unwrap();
    Ok(ruleset.compile(&policy, &There::default())?.text)
}

/// The rules of a chain, in order.
fn chain<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let rules = text.rsplit_once("table inet mec0 {\n").unwrap().1;
    let start = rules.split_once(&format!("chain {name} {{\n")).unwrap().1;
    start.lines().take_while(|line| *line != "}").collect()
}

#[test]
fn two_applications_one_reaching_one_published_one_leaving() {
    let (mut page, mut shop) = (app(2), app(3));
    page.reach = both(3).to_vec();
    page.egress = true;
    shop.publish = vec![PublishedPort {
        host: 8080,
        container: 80,
        protocol: Protocol::Tcp,
    }];
    let text = compile(&[page, shop]).unwrap();
    assert_eq!(
        chain(&text, "source"),
        [
            "iifname \"mec0t*\" ip saddr 10.80.0.0/16 counter drop comment \"spoofed in a tunnel\"",
            "iifname \"mec0t*\" ip6 saddr fd00:6d65:63::/64 counter drop comment \"spoofed in a tunnel\"",
            "iifname != \"mec0v*\" return",
            "ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
            "ip6 saddr { ::, fe80::/10 } counter drop comment \"link-local\"",
            "ip daddr 127.0.0.0/8 counter drop comment \"loopback\"",
            "iifname . ip saddr { \"mec0v2\" . 10.80.0.2, \"mec0v3\" . 10.80.0.3 } accept",
            "iifname . ip6 saddr { \"mec0v2\" . fd00:6d65:63::2, \"mec0v3\" . fd00:6d65:63::3 } accept",
            "counter drop comment \"spoofed\"",
        ]
    );
    assert_eq!(
        chain(&text, "requests"),
        [
            "iifname \"mec0v*\" oifname \"mec0v*\" ip saddr . ip daddr { 10.80.0.2 . 10.80.0.3 } accept",
            "iifname \"mec0v*\" oifname \"mec0v*\" ip6 saddr . ip6 daddr { fd00:6d65:63::2 . fd00:6d65:63::3 } accept",
            "iifname \"mec0v*\" oifname \"eth0\" ip saddr { 10.80.0.2 } accept",
            "iifname \"mec0v*\" oifname \"eth0\" ip6 saddr { fd00:6d65:63::2 } accept",
            "iifname != \"mec0v*\" ct status dnat ip daddr . meta l4proto . th dport { 10.80.0.3 . tcp . 80 } accept",
            "iifname != \"mec0v*\" ct status dnat ip6 daddr . meta l4proto . th dport { fd00:6d65:63::3 . tcp . 80 } accept",
        ]
    );
    assert_eq!(
        chain(&text, "publish"),
        [
            "iifname \"mec0v*\" return",
            "ip daddr != 10.80.0.1 fib daddr type local dnat ip to tcp dport map { 8080 : 10.80.0.3 . 80 }",
            "ip6 daddr != { ::1, fd00:6d65:63::1 } fib daddr type local dnat ip6 to tcp dport map { 8080 : fd00:6d65:63::3 . 80 }",
        ]
    );
    assert_eq!(
        chain(&text, "leave"),
        [
            "oifname \"mec0v*\" ip saddr 127.0.0.0/8 snat ip to 10.80.0.1",
            "oifname \"eth0\" ip saddr { 10.80.0.2 } masquerade",
            "oifname \"eth0\" ip6 saddr { fd00:6d65:63::2 } masquerade",
        ]
    );
}

#[test]
fn what_is_no_policy_of_this_box_is_refused_by_name() {
    let mut foreign = app(2);
    foreign.lease.v4 = "192.0.2.2".parse().unwrap();
    assert_eq!(
        compile(&[foreign.clone()]),
        Err(PolicyError::Lease(foreign.lease))
    );
    assert_eq!(compile(&[app(2), app(2)]), Err(PolicyError::Twice(2)));
    let mut stranger = app(2);
    stranger.reach = both(3).to_vec();
    assert_eq!(
        compile(&[stranger]),
        Err(PolicyError::Reach(lease(3).v4.into()))
    );
}

#[test]
fn what_was_opened_for_applications_stays_closed_for_others() {
    let ruleset = Ruleset::of(&config()).unwrap();
    let text = ruleset.openings(&BTreeSet::from(Opening::ALL));
    assert_eq!(
        text,
        "flush chain inet mec0 opened\n\
         add rule inet mec0 opened iifname \"eth0\" meta nfproto ipv4 counter drop comment \"opened uplink ipv4\"\n\
         add rule inet mec0 opened iifname \"eth0\" meta nfproto ipv6 counter drop comment \"opened uplink ipv6\"\n\
         add rule inet mec0 opened meta nfproto ipv6 counter drop comment \"opened all ipv6\"\n"
    );
    // A new policy does not forget it.
    assert!(
        !compile(&[])
            .unwrap()
            .contains("flush chain inet mec0 opened")
    );
}

#[test]
fn a_mark_is_known_again_by_the_same_version_and_configuration_alone() {
    let policy = Policy {
        apps: vec![app(2)],
        ..Policy::default()
    };
    let ruleset = Ruleset::of(&config()).unwrap();
    let mark = ruleset.mark(&policy);
    assert_eq!(
        ruleset.fingerprint_in(&mark),
        Some(policy.fingerprint().as_str())
    );
    let mut other = config();
    other.network.uplink = Some("eth1".to_owned());
    assert_eq!(Ruleset::of(&other).unwrap().fingerprint_in(&mark), None);
    assert_eq!(ruleset.fingerprint_in("policy"), None);
}

fn rule(id: usize, priority: u8, filter: &str, action: &str) -> OwnedRule {
    let text = format!(
        r#"{{"owner":"i2","rule":{{"id":"r{id}","filterType":"packet","priority":{priority},
            "filters":[{filter}],"action":{action},"active":true}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn many(count: usize) -> Vec<OwnedRule> {
    (0..count)
        .map(|n| {
            let filter = format!(r#"{{"destinationPort":["{}"]}}"#, n + 1);
            rule(n, u8::try_from(n / 4).unwrap(), &filter, "\"drop\"")
        })
        .collect()
}

fn with(rules: Vec<OwnedRule>) -> Policy {
    Policy {
        apps: vec![app(2)],
        rules,
        ..Policy::default()
    }
}

#[test]
fn a_rule_is_written_in_the_kernels_words() {
    let able = Abilities {
        duplicate: true,
        ..Abilities::default()
    };
    let ruleset = Ruleset::of(&config()).unwrap().able(able);
    let lines = |filter: &str, action: &str, flow: bool| -> Vec<String> {
        let mut owned = rule(1, 0, filter, action);
        if flow {
            owned.rule.filter_type = edged_model::FilterType::Flow;
        }
        let there = There::default();
        let text = ruleset.compile(&with(vec![owned]), &there).unwrap().text;
        let (_, start) = text.split_once("{\nchain t").unwrap();
        let lines = start.lines().skip(1).take_while(|line| *line != "}");
        lines
            .map(|l| l.trim_end_matches(" comment \"i2 r1\"").to_owned())
            .collect()
    };
    assert_eq!(
        lines(
            r#"{"source":["10.0.0.0/30","10.0.0.4","fd00::/126"],"sourcePort":["5-7","1","2"]}"#,
            "\"drop\"",
            false
        ),
        [
            "meta nfproto ipv4 ip saddr 10.0.0.0-10.0.0.4 meta l4proto { 6, 17, 33, 132, 136 } th sport { 1-2, 5-7 } counter drop",
            "meta nfproto ipv6 ip6 saddr fd00::-fd00::3 meta l4proto { 6, 17, 33, 132, 136 } th sport { 1-2, 5-7 } counter drop",
        ]
    );
    assert_eq!(
        lines(
            r#"{"protocol":["tcp","icmp"],"destinationPort":["80"]}"#,
            "\"passthrough\"",
            true
        ),
        ["meta l4proto 6 ct original proto-dst 80 counter accept"]
    );
    assert_eq!(
        lines("{}", r#"{"forward-encapsulated":{"ip":"10.0.0.9"}}"#, true),
        [
            "meta nfproto ipv4 ct direction original counter meta mark set 0xd8d91001 accept",
            "meta nfproto ipv4 ct direction reply counter meta mark set 0xd8d92001 accept",
        ]
    );
    assert_eq!(
        lines(
            r#"{"dscp":46}"#,
            r#"{"duplicate-encapsulated":[{"ip":"fd00::1"},{"ip":"fd00::2"}]}"#,
            false
        ),
        ["meta nfproto ipv6 ip6 dscp 46 counter meta mark set 0xd8d93001 accept"]
    );
}

#[test]
fn one_more_rule_writes_one_small_chain_however_many_there_are() {
    let ruleset = Ruleset::of(&config()).unwrap();
    let rules = many(1_000);
    let mut fewer = rules.clone();
    fewer.remove(500);
    let first = ruleset.compile(&with(fewer), &There::default()).unwrap();
    let there = There {
        written: Some(first.written),
        ..There::default()
    };
    let text = ruleset.compile(&with(rules), &there).unwrap().text;
    let written = text.matches("counter drop").count();
    assert!((1..=128).contains(&written), "{written} rules were written");
    assert!(first.text.matches("counter drop").count() > 999);
    // The chain that was there before, or the two that a new boundary parts, go.
    assert!(
        (1..=2).contains(&text.matches("delete chain").count()),
        "{text}"
    );
    // What did not change is not touched.
    assert!(
        !text.contains("chain source") && !text.contains("hook"),
        "{text}"
    );
}

#[test]
fn a_course_keeps_its_number_and_nobody_gets_one_that_was_given() {
    let ruleset = Ruleset::of(&config()).unwrap();
    let to = |n: usize, host: u8| {
        rule(
            n,
            0,
            "{}",
            &format!(r#"{{"forward-encapsulated":{{"ip":"10.0.0.{host}"}}}}"#),
        )
    };
    let first = ruleset
        .compile(&with(vec![to(1, 1), to(2, 2)]), &There::default())
        .unwrap();
    let there = There {
        written: Some(first.written),
        ..There::default()
    };
    let second = ruleset
        .compile(&with(vec![to(2, 2), to(3, 3)]), &there)
        .unwrap();
    assert!(
        second
            .text
            .contains("delete element inet mec0 readdress4 { 0xd8d93001 }"),
        "{}",
        second.text
    );
    assert!(
        second
            .text
            .contains("add element inet mec0 readdress4 { 0xd8d93003 : 10.0.0.3 }"),
        "{}",
        second.text
    );
    assert!(!second.text.contains("0xd8d93002 :"), "{}", second.text);
}

#[test]
fn more_rules_than_there_is_room_for_are_refused_by_name() {
    let ruleset = Ruleset::of(&config()).unwrap();
    assert!(
        ruleset
            .compile(&with(many(1_024)), &There::default())
            .is_ok()
    );
    let mut rules = many(1_020);
    rules.extend((0..5).map(|n| rule(2_000 + n, 255, "{}", "\"drop\"")));
    let error = ruleset
        .compile(&with(rules), &There::default())
        .unwrap_err();
    assert!(error.to_string().contains("r2004"), "{error}");
}

prop_compose! {
    fn apps()(places in prop::collection::btree_set(2_u16..40, 0..8))
        (reach in prop::collection::vec(prop::sample::subsequence(places.iter().copied().collect::<Vec<_>>(), 0..=places.len()), places.len()),
         egress in prop::collection::vec(any::<bool>(), places.len()),
         ports in prop::collection::btree_set(1_u16.., places.len()),
         places in Just(places)) -> Vec<AppPolicy> {
        places.iter().zip(reach).zip(egress).zip(ports).map(|(((place, reach), egress), host)| {
            let mut policy = app(*place);
            policy.reach = reach.into_iter().flat_map(both).collect();
            policy.egress = egress;
            policy.publish = vec![PublishedPort { host, container: 80, protocol: Protocol::Udp }];
            policy
        }).collect()
    }
}

proptest! {
    #[test]
    fn whatever_is_allowed_the_last_word_is_no(apps in apps()) {
        let text = compile(&apps).unwrap();
        for (name, last) in [("source", "spoofed"), ("gateway", "box"), ("apps", "denied")] {
            let rules = chain(&text, name);
            prop_assert_eq!(*rules.last().unwrap(), format!("counter drop comment \"{last}\""));
        }
        // Nothing is accepted but by a set of addresses of this policy, or for the gateway.
        let known: BTreeSet<String> = apps.iter().flat_map(|app| both(app.lease.number.get())).map(|a| a.to_string()).collect();
        for name in ["requests", "replies"] {
            for rule in chain(&text, name) {
                let set = rule.split_once("{ ").and_then(|(_, rest)| rest.split_once(" }")).unwrap().0;
                for element in set.split(", ") {
                    prop_assert!(known.contains(element.split(" . ").next().unwrap()), "{}", rule);
                }
            }
        }
        let pairs: usize = apps.iter().map(|app| app.reach.len()).sum();
        let written: usize = chain(&text, "requests").iter().filter(|rule| rule.contains("saddr . ip")).map(|rule| rule.matches(" . ").count() - 1).sum();
        prop_assert_eq!(written, pairs);
    }
}
