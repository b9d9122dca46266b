//! The guardian in a namespace of its own, with real links and real packets. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use edged_model::{LeaseNumber, Protocol, PublishedPort};
use edged_protocol::guardian::{Command, Policy, Reply};
use rig::{NEVER, Rig, SOON, attempt, policy, run, until};

fn observed(rig: &Rig) -> (Vec<u16>, Option<String>) {
    match rig.ask(Command::Observe {}) {
        Reply::Observed { links, policy, .. } => {
            (links.into_iter().map(LeaseNumber::get).collect(), policy)
        }
        other => panic!("{other:?}"),
    }
}

fn port(host: u16, container: u16) -> PublishedPort {
    PublishedPort {
        host,
        container,
        protocol: Protocol::Tcp,
    }
}

/// A box with two applications, `a` at 10.80.0.2 and `b` at 10.80.0.3, each with a server on port 80.
fn two_apps() -> Rig {
    let mut rig = Rig::new();
    rig.start();
    rig.app("a", 2);
    rig.app("b", 3);
    rig.serve("a", 80);
    rig.serve("b", 80);
    rig
}

#[test]
fn an_application_reaches_whom_the_policy_names_and_nobody_else() {
    let rig = two_apps();
    rig.is_denied("a", "10.80.0.3:80");
    rig.is_denied("a", "[fd00:6d65:63::3]:80");
    rig.apply(&[rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])]);
    assert_eq!(rig.answers("a", "10.80.0.3:80"), "10.80.0.2");
    assert_eq!(rig.answers("a", "[fd00:6d65:63::3]:80"), "fd00:6d65:63::2");
    rig.is_denied("b", "10.80.0.2:80");
    rig.is_denied("b", "[fd00:6d65:63::2]:80");
    // The other way round: what was allowed is not, without a new connection table.
    rig.apply(&[rig.wish("a", 2, &[]), rig.wish("b", 3, &[2])]);
    rig.is_denied("a", "10.80.0.3:80");
    assert_eq!(rig.answers("b", "10.80.0.2:80"), "10.80.0.3");
}

#[test]
fn an_application_reaches_the_gateways_services_and_nothing_else_of_the_box() {
    let rig = two_apps();
    for port in [53, 80, 1883, 8888] {
        rig.serve("", port);
    }
    rig.apply(&[rig.wish("a", 2, &[])]);
    for open in ["10.80.0.1:53", "10.80.0.1:80", "[fd00:6d65:63::1]:1883"] {
        rig.answers("a", open);
    }
    for closed in ["10.80.0.1:8888", "192.0.2.1:80", "[2001:db8::1]:53"] {
        rig.is_denied("a", closed);
    }
    // `b` has a link and no policy: it may not even speak to the gateway.
    rig.is_denied("b", "10.80.0.1:80");
    // The box itself, as edged's probes do, reaches applications.
    assert_eq!(rig.answers("", "10.80.0.2:80"), "10.80.0.1");
    assert_eq!(rig.answers("", "[fd00:6d65:63::2]:80"), "fd00:6d65:63::1");
    // What does not concern applications is as it was.
    assert_eq!(rig.answers("out", "192.0.2.1:8888"), "192.0.2.2");
}

#[test]
fn a_connection_ends_with_the_policy_that_allowed_it() {
    let rig = two_apps();
    let echo = rig.within("b", || UdpSocket::bind("0.0.0.0:7000").unwrap());
    let asker = rig.within("a", || UdpSocket::bind("0.0.0.0:0").unwrap());
    rig.apply(&[rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])]);
    asker.send_to(b"1", "10.80.0.3:7000").unwrap();
    let mut byte = [0];
    echo.set_read_timeout(Some(SOON)).unwrap();
    let (_, from) = echo.recv_from(&mut byte).unwrap();
    rig.apply(&[rig.wish("a", 2, &[]), rig.wish("b", 3, &[])]);
    // Neither the request nor the late reply passes, though the kernel's connection table knows both.
    asker.send_to(b"2", "10.80.0.3:7000").unwrap();
    echo.send_to(b"3", from).unwrap();
    for socket in [&echo, &asker] {
        socket.set_read_timeout(Some(NEVER)).unwrap();
        assert!(socket.recv_from(&mut byte).is_err());
    }
}

#[test]
fn a_spoofed_source_is_dropped_and_counted() {
    let rig = two_apps();
    rig.apply(&[rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])]);
    // `a` takes the addresses of `b`'s neighbour in policy, place 4, and of nobody.
    let victim = rig.within("b", || UdpSocket::bind("[::]:7000").unwrap());
    for (lie, to) in [
        ("10.80.0.4/32", "10.80.0.3:7000"),
        ("198.51.100.7/32", "10.80.0.3:7000"),
        ("fd00:6d65:63::4/128", "[fd00:6d65:63::3]:7000"),
    ] {
        let nodad = if lie.contains(':') { " nodad" } else { "" };
        run(&format!(
            "ip -n {}a addr add {lie} dev eth0{nodad}",
            rig.name
        ));
        let own = lie.split('/').next().unwrap();
        let liar = rig.within("a", || UdpSocket::bind((own, 0)).unwrap());
        liar.send_to(b"x", to).unwrap();
    }
    until("the count of spoofed packets", || {
        let rules = rig.on_box("nft list chain inet mec0 source");
        let drop = rules.lines().find(|l| l.contains("\"spoofed\"")).unwrap();
        !drop.contains("packets 0 ") && !drop.contains("packets 1 ") && !drop.contains("packets 2 ")
    });
    victim.set_read_timeout(Some(NEVER)).unwrap();
    assert!(victim.recv_from(&mut [0]).is_err());
}

#[test]
fn a_published_port_answers_outside_and_on_the_box_and_no_other_does() {
    let rig = two_apps();
    let mut web = rig.wish("a", 2, &[]);
    web.publish.push(port(8080, 80));
    rig.serve("a", 81);
    rig.apply(&[web, rig.wish("b", 3, &[])]);
    assert_eq!(rig.answers("out", "192.0.2.1:8080"), "192.0.2.2");
    assert_eq!(rig.answers("out", "[2001:db8::1]:8080"), "2001:db8::2");
    assert_eq!(rig.answers("", "127.0.0.1:8080"), "10.80.0.1");
    rig.answers("", "192.0.2.1:8080");
    // Not by the back door, not another port, not for other applications.
    run(&format!(
        "ip -n {}out route add 10.80.0.0/16 via 192.0.2.1",
        rig.name
    ));
    rig.is_denied("out", "10.80.0.2:80");
    rig.is_denied("out", "10.80.0.2:81");
    rig.is_denied("b", "192.0.2.1:8080");
    rig.apply(&[rig.wish("a", 2, &[]), rig.wish("b", 3, &[])]);
    rig.is_denied("out", "192.0.2.1:8080");
    rig.is_denied("", "127.0.0.1:8080");
}

#[test]
fn egress_is_denied_by_default_and_wears_the_boxs_address_where_allowed() {
    let mut rig = two_apps();
    rig.neighbour("lan", "lan0", "198.51.100", "2001:db8:1:");
    rig.serve("out", 80);
    rig.serve("lan", 80);
    let mut leaving = rig.wish("a", 2, &[]);
    leaving.egress = true;
    rig.apply(&[leaving, rig.wish("b", 3, &[])]);
    assert_eq!(rig.answers("a", "192.0.2.2:80"), "192.0.2.1");
    assert_eq!(rig.answers("a", "[2001:db8::2]:80"), "2001:db8::1");
    rig.is_denied("b", "192.0.2.2:80");
    rig.is_denied("b", "[2001:db8::2]:80");
    // The uplink is the way outside; another network of the box is not.
    rig.is_denied("a", "198.51.100.2:80");
    // The box forwarded nothing before and is nobody's router now.
    run(&format!(
        "ip -n {}out route add 198.51.100.0/24 via 192.0.2.1",
        rig.name
    ));
    run(&format!(
        "ip -n {}lan route add 192.0.2.0/24 via 198.51.100.1",
        rig.name
    ));
    rig.is_denied("out", "198.51.100.2:80");
    // An answer comes in, a question does not.
    run(&format!(
        "ip -n {}out route add 10.80.0.0/16 via 192.0.2.1",
        rig.name
    ));
    rig.is_denied("out", "10.80.0.2:80");
}

#[test]
fn replacing_the_policy_under_traffic_leaves_no_gap_and_no_leak() {
    let rig = two_apps();
    let policies = [
        vec![rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])],
        vec![
            rig.wish("a", 2, &[3, 4]),
            rig.wish("b", 3, &[]),
            rig.wish("c", 4, &[]),
        ],
    ];
    rig.apply(&policies[0]);
    let bind = |space| rig.within(space, || UdpSocket::bind("0.0.0.0:7000").unwrap());
    let (a, b) = (bind("a"), bind("b"));
    let leaking = rig.within("b", || UdpSocket::bind("0.0.0.0:0").unwrap());
    let (over, answered) = (AtomicBool::new(false), AtomicBool::new(false));
    a.set_read_timeout(Some(SOON)).unwrap();
    b.set_read_timeout(Some(NEVER)).unwrap();
    std::thread::scope(|scope| {
        let allowed = scope.spawn(|| {
            let (mut rounds, mut byte) = (0_u32, [0; 8]);
            while !over.load(Ordering::Relaxed) {
                a.send_to(b"ask", "10.80.0.3:7000").unwrap();
                let (length, _) = a.recv_from(&mut byte).expect("a gap");
                // Anything but the echo is a leak: it came from the socket that may not.
                assert_eq!(&byte[..length], b"ask");
                rounds += 1;
            }
            rounds
        });
        scope.spawn(|| {
            let mut byte = [0; 8];
            // The last question is answered, too.
            while !answered.load(Ordering::Relaxed) {
                match b.recv_from(&mut byte) {
                    Ok((length, from)) => drop(b.send_to(&byte[..length], from).unwrap()),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                leaking.send_to(b"leak", "10.80.0.2:7000").unwrap();
                std::thread::yield_now();
            }
        });
        for policy in policies.iter().cycle().take(20) {
            rig.apply(policy);
        }
        over.store(true, Ordering::Relaxed);
        let rounds = allowed.join();
        answered.store(true, Ordering::Relaxed);
        assert!(rounds.unwrap() > 20, "too little traffic to tell");
    });
}

#[test]
fn a_killed_guardian_leaves_the_rules_and_the_next_one_sees_all() {
    let mut rig = two_apps();
    let apps = vec![rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])];
    rig.apply(&apps);
    rig.kill();
    rig.answers("a", "10.80.0.3:80");
    rig.is_denied("b", "10.80.0.2:80");
    rig.start();
    let fingerprint = policy(&apps, &[]).fingerprint();
    assert_eq!(observed(&rig), (vec![2, 3], Some(fingerprint)));
    rig.answers("a", "10.80.0.3:80");
    // Another configuration makes other rules of the same policy: the old ones are not taken for today's.
    rig.kill();
    let path = rig.folder.path().join("edged.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}[mqtt]\napp_port = 1884\n")).unwrap();
    rig.start();
    assert_eq!(observed(&rig), (vec![2, 3], None));
}

#[test]
fn rules_that_somebody_flushed_come_back_by_themselves() {
    let rig = two_apps();
    let apps = vec![rig.wish("a", 2, &[3]), rig.wish("b", 3, &[])];
    rig.apply(&apps);
    let fingerprint = Some(policy(&apps, &[]).fingerprint());
    for flush in [
        "nft flush ruleset",
        "nft delete table inet mec0",
        "nft flush table inet mec0",
    ] {
        rig.on_box(flush);
        until("the policy", || {
            rig.on_box("nft list ruleset")
                .contains(fingerprint.as_ref().unwrap())
        });
        assert_eq!(observed(&rig).1, fingerprint, "{flush}");
        let opened = rig.on_box("nft list chain inet mec0 opened");
        assert!(opened.contains("opened uplink ipv4") && opened.contains("opened uplink ipv6"));
        rig.answers("a", "10.80.0.3:80");
        rig.is_denied("b", "10.80.0.2:80");
    }
}

#[test]
fn an_uplink_that_comes_back_is_the_way_outside_again() {
    let mut rig = two_apps();
    let mut leaving = rig.wish("a", 2, &[]);
    leaving.egress = true;
    rig.apply(&[leaving]);
    run(&format!("ip -n {} link del up0", rig.name));
    rig.neighbour("out2", "up0", "192.0.2", "2001:db8:");
    rig.serve("out2", 80);
    until("forwarding", || {
        rig.on_box("cat /proc/sys/net/ipv4/conf/up0/forwarding")
            .trim()
            == "1"
    });
    assert_eq!(rig.answers("a", "192.0.2.2:80"), "192.0.2.1");
}

#[test]
fn a_table_with_other_chains_under_our_names_is_made_anew() {
    let mut rig = Rig::new();
    rig.on_box("nft add table inet mec0");
    rig.on_box("nft add chain inet mec0 source { type filter hook input priority 7 ; }");
    rig.start();
    let expected = Policy::default().fingerprint();
    assert_eq!(observed(&rig).1, Some(expected));
    let source = rig.on_box("nft list chain inet mec0 source");
    assert!(source.contains("hook prerouting priority raw"), "{source}");
}

#[test]
fn a_link_is_made_once_and_a_wrong_one_is_replaced() {
    let mut rig = Rig::new();
    rig.start();
    run(&format!("ip -n {} link add mec0v2 type bridge", rig.name));
    rig.app("a", 2);
    let first = rig.on_box("ip -o link show mec0v2");
    rig.done(rig.attach("a", 2));
    assert_eq!(rig.on_box("ip -o link show mec0v2"), first);
    assert_eq!(observed(&rig).0, [2]);
    // The container has gone: so has its link.
    run(&format!("ip netns del {}a", rig.name));
    until("the end of the link", || observed(&rig).0.is_empty());
    rig.done(Command::Detach {
        lease: rig.lease(2),
    });
}

#[test]
fn a_namespace_of_another_user_namespace_is_joined_without_entering_it() {
    let mut rig = Rig::new();
    rig.start();
    rig.unprivileged_app("a", 2);
    rig.serve("a", 80);
    rig.apply(&[rig.wish("a", 2, &[])]);
    assert_eq!(rig.answers("", "10.80.0.2:80"), "10.80.0.1");
    assert_eq!(observed(&rig).0, [2]);
}

#[test]
fn what_a_link_may_not_be_is_refused_with_a_reason() {
    let mut rig = Rig::new();
    rig.start();
    let refusal = |command| match rig.ask(command) {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let missing = refusal(rig.attach("nobody", 2));
    assert!(missing.transient && missing.sentence.contains("nobody"));
    rig.pin("host", &rig.name);
    let host = refusal(rig.attach("host", 2));
    assert!(!host.transient && host.sentence.contains("host's own"));
    let mut lease = rig.lease(2);
    lease.v4 = "192.0.2.2".parse().unwrap();
    let stolen = refusal(Command::Detach { lease });
    assert!(!stolen.transient && stolen.sentence.contains("192.0.2.2"));
    let mut twice = [rig.wish("a", 2, &[]), rig.wish("b", 3, &[])];
    for app in &mut twice {
        app.publish.push(port(8080, 80));
    }
    let before = observed(&rig);
    let policy = policy(&twice, &[]);
    let twice = refusal(Command::Apply { policy });
    assert!(!twice.transient && twice.sentence.contains("8080"));
    assert_eq!(observed(&rig), before);
}

#[test]
fn purge_leaves_nothing_and_touches_nothing_else() {
    let mut rig = Rig::new();
    rig.on_box("nft add table inet other");
    rig.on_box("nft add chain inet other input { type filter hook input priority 0 ; }");
    rig.on_box("nft add rule inet other input tcp dport 9 drop");
    run(&format!("ip -n {} link add mec0vx type bridge", rig.name));
    let state = |rig: &Rig| {
        [
            "ip -o addr",
            "ip -o link",
            "ip route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
            "ip neigh show nud permanent",
            "nft list ruleset",
            "cat /proc/sys/net/ipv4/conf/up0/forwarding",
            "cat /proc/sys/net/ipv6/conf/all/forwarding",
        ]
        .map(|line| rig.on_box(line))
    };
    let before = state(&rig);
    rig.start();
    rig.app("a", 2);
    let mut wish = rig.wish("a", 2, &[]);
    wish.publish.push(port(8080, 80));
    wish.egress = true;
    let rule = r#"{"owner":"a","rule":{"id":"next","filterType":"packet","priority":0,"filters":[{}],
        "action":{"forward-encapsulated":{"mac":{"destination":"02:00:00:00:00:01"}}},"active":true}}"#;
    rig.apply_with(&[wish], &[serde_json::from_str(rule).unwrap()]);
    assert!(rig.on_box("nft list ruleset").contains("tcp dport 9 drop"));
    assert_ne!(state(&rig), before);
    rig.kill();
    rig.purge();
    assert_eq!(state(&rig), before);
    // Once more, where there is nothing to do.
    rig.purge();
    assert_eq!(state(&rig), before);
}

#[test]
fn an_address_of_no_application_is_unreachable_and_never_leaves_the_box() {
    let mut rig = Rig::new();
    // Without ours, the way of everything unknown.
    rig.on_box("ip route replace default dev up0");
    rig.on_box("ip -6 route replace default dev up0");
    rig.start();
    let route = |rig: &Rig, address: &str| {
        let output = attempt(&format!(
            "ip netns exec {} ip route get {address}",
            rig.name
        ));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_lowercase()
    };
    for address in ["10.80.0.77", "fd00:6d65:63::77"] {
        let told = route(&rig, address);
        assert!(
            !told.contains("dev up0"),
            "{address} leaves the box: {told}"
        );
        assert!(
            told.contains("unreachable") || told.contains("no route"),
            "{told}"
        );
    }
    rig.app("a", 2);
    rig.apply(&[]);
    let told = route(&rig, "10.80.0.2");
    assert!(told.contains("dev mec0v2"), "{told}");
}
