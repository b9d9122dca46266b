//! The text of the transaction, without a kernel.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use edged_config::Config;
use edged_guardian::opening::Opening;
use edged_guardian::ruleset::{PolicyError, Ruleset, There};
use edged_model::{Lease, LeaseNumber, Protocol, PublishedPort};
use edged_protocol::guardian::{AppPolicy, Policy};
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
