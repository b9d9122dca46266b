//! Bandwidth on real links, measured with real packets between namespaces. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edged_protocol::Refusal;
use edged_protocol::guardian::{Abilities, Command, Policy, Reply, Shape};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rig::{Rig, SOON, run, until};

/// What is allocated: bits a second.
const RATE: f64 = 20e6;
/// News of packet schedulers (linux/rtnetlink.h).
const RTNLGRP_TC: u32 = 4;
/// How long a flow is measured: long enough for what may pass at once to weigh little.
const WHILE: Duration = Duration::from_millis(350);

/// A box with applications `a` and `b`, and `c` that both of them may speak with.
fn box_of_three() -> Rig {
    let mut rig = Rig::new();
    rig.start();
    for (app, place) in [("a", 2), ("b", 3), ("c", 4)] {
        rig.app(app, place);
    }
    rig
}

fn policy(rig: &Rig, shapes: &[Shape]) -> Policy {
    Policy {
        apps: vec![
            rig.wish("a", 2, &[4]),
            rig.wish("b", 3, &[4]),
            rig.wish("c", 4, &[2, 3]),
        ],
        bandwidth: shapes.to_vec(),
        ..Policy::default()
    }
}

fn apply(rig: &Rig, shapes: &[Shape]) {
    let policy = policy(rig, shapes);
    rig.done(Command::Apply { policy });
}

/// An allocation of [`RATE`] to `a`.
fn shape(id: &str, direction: &str, sessions: &str) -> Shape {
    let text = format!(
        r#"{{"place":2,"allocation":{{"id":"{id}","instance":"a","direction":"{direction}",
        "rate":"{RATE}","sessions":{sessions}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// Who writes.
#[derive(Clone, Copy)]
enum Sends {
    Client,
    Server,
}

/// Bits a second that an application reads from a connection while the other end writes all it can.
fn flow(rig: &Rig, client: &str, server: &str, to: &str, sends: Sends) -> f64 {
    let to: SocketAddr = to.parse().unwrap();
    let listener = rig.within(server, || TcpListener::bind(("::", to.port())).unwrap());
    let there = rig.within(client, || TcpStream::connect_timeout(&to, SOON).unwrap());
    let here = listener.accept().unwrap().0;
    let (mut reader, mut writer) = match sends {
        Sends::Client => (here, there),
        Sends::Server => (there, here),
    };
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let piece = [7; 16_384];
            while !enough.load(Ordering::Relaxed) {
                if writer.write_all(&piece).is_err() {
                    break;
                }
            }
        });
        let (start, mut bytes) = (Instant::now(), 0_u32);
        let mut buffer = vec![0; 1 << 20];
        while start.elapsed() < WHILE {
            bytes += u32::try_from(reader.read(&mut buffer).unwrap()).unwrap();
        }
        let rate = f64::from(bytes) * 8.0 / start.elapsed().as_secs_f64();
        enough.store(true, Ordering::Relaxed);
        // A writer that waits is let go.
        reader.shutdown(std::net::Shutdown::Both).unwrap();
        drop(reader);
        rate
    })
}

fn is_limited(rate: f64) {
    assert!(
        (0.7..1.1).contains(&(rate / RATE)),
        "{:.1} Mbit/s",
        rate / 1e6
    );
}

fn is_free(rate: f64) {
    assert!(rate > 4.0 * RATE, "{:.1} Mbit/s", rate / 1e6);
}

fn on(rig: &Rig, link: &str) -> String {
    let queues = rig.on_box(&format!("tc qdisc show dev {link}"));
    // How many packets passed by the rates is no part of what is there.
    let words = queues.split_inclusive(' ').collect::<Vec<_>>();
    let uncounted = words.iter().enumerate();
    let queues: String = uncounted
        .filter(|(at, _)| *at == 0 || words[at - 1] != "direct_packets_stat ")
        .map(|(_, word)| *word)
        .collect();
    let classes = rig.on_box(&format!("tc class show dev {link}"));
    let filters = rig.on_box(&format!("tc filter show dev {link}"));
    let incoming = rig.on_box(&format!("tc filter show dev {link} ingress"));
    format!("{queues}{classes}{filters}{incoming}")
}

fn is_there(rig: &Rig, link: &str) -> bool {
    let links = rig.on_box("ip -o link show");
    links.contains(&format!(" {link}:")) || links.contains(&format!(" {link}@"))
}

fn observed(rig: &Rig) -> (Option<String>, Abilities) {
    match rig.ask(Command::Observe {}) {
        Reply::Observed {
            policy, abilities, ..
        } => (policy, abilities),
        other => panic!("{other:?}"),
    }
}

/// What the kernel tells of classes and filters made, changed or taken away in the box since the last time.
fn news(socket: &Socket) -> usize {
    let mut count = 0;
    while let Ok((datagram, _)) = socket.recv_from_full() {
        // The second field of a message is its type: RTM_NEWTCLASS and what follows it (linux/rtnetlink.h).
        let kind = u16::from_ne_bytes([datagram[4], datagram[5]]);
        count += usize::from((40..=45).contains(&kind));
    }
    count
}

fn refusal(rig: &Rig, shapes: &[Shape]) -> Refusal {
    let policy = policy(rig, shapes);
    match rig.ask(Command::Apply { policy }) {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_application_sends_and_hears_no_faster_than_its_allocation() {
    let rig = box_of_three();
    assert!(observed(&rig).1.bandwidth);
    apply(&rig, &[shape("whole", "both", "[]")]);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client));
    is_limited(flow(
        &rig,
        "c",
        "a",
        "[fd00:6d65:63::2]:7002",
        Sends::Server,
    ));
    // Its neighbour has none.
    is_free(flow(&rig, "c", "b", "10.80.0.3:7001", Sends::Client));
    is_free(flow(&rig, "c", "b", "10.80.0.3:7002", Sends::Server));
}

#[test]
fn an_allocation_of_one_way_leaves_the_other_way_alone() {
    let rig = box_of_three();
    apply(&rig, &[shape("hears", "to-app", "[]")]);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client));
    is_free(flow(&rig, "c", "a", "10.80.0.2:7002", Sends::Server));
    apply(&rig, &[shape("sends", "from-app", "[]")]);
    is_free(flow(&rig, "c", "a", "10.80.0.2:7003", Sends::Client));
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7004", Sends::Server));
}

#[test]
fn an_allocation_of_a_session_is_for_that_session_alone() {
    let rig = box_of_three();
    let session = r#"[{"source":"10.80.0.4","destinationPort":["7000-7001"],"protocol":"tcp"},
        {"source":"fd00:6d65:63::4","destinationPort":["7000-7001"],"protocol":"tcp"}]"#;
    apply(&rig, &[shape("session", "both", session)]);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client));
    is_limited(flow(
        &rig,
        "c",
        "a",
        "[fd00:6d65:63::2]:7000",
        Sends::Server,
    ));
    is_free(flow(&rig, "c", "a", "10.80.0.2:7002", Sends::Client));
    is_free(flow(
        &rig,
        "c",
        "a",
        "[fd00:6d65:63::2]:7003",
        Sends::Server,
    ));
}

#[test]
fn another_rate_takes_effect_in_place_and_no_allocation_leaves_nothing() {
    let rig = box_of_three();
    let (plain, detour) = (on(&rig, "mec0v2"), "mec0i2");
    let mut slow = shape("whole", "both", "[]");
    slow.allocation.rate = "1000000".parse().unwrap();
    let other = shape("session", "both", r#"[{"destinationPort":["9"]}]"#);
    apply(&rig, &[other.clone(), slow]);
    assert!(is_there(&rig, detour));
    let bytes = |rig: &Rig| {
        rig.on_box("tc -s class show dev mec0v2")
            .matches("Sent 0 bytes")
            .count()
    };
    flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client);
    assert_eq!(bytes(&rig), 1);
    apply(&rig, &[other, shape("whole", "both", "[]")]);
    // The class is the same, so it knows what it has sent.
    assert_eq!(bytes(&rig), 1);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7002", Sends::Client));
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7003", Sends::Server));
    apply(&rig, &[]);
    is_free(flow(&rig, "c", "a", "10.80.0.2:7004", Sends::Client));
    assert_eq!(on(&rig, "mec0v2"), plain);
    assert!(!is_there(&rig, detour));
}

#[test]
fn rates_outlive_the_guardian_and_the_next_one_asks_for_them_again() {
    let mut rig = box_of_three();
    let shapes = [shape("whole", "both", "[]")];
    apply(&rig, &shapes);
    let fingerprint = Some(policy(&rig, &shapes).fingerprint());
    assert_eq!(observed(&rig).0, fingerprint);
    let before = (on(&rig, "mec0v2"), on(&rig, "mec0i2"));
    rig.kill();
    rig.start();
    assert_eq!((on(&rig, "mec0v2"), on(&rig, "mec0i2")), before);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client));
    // Links that come now would not get theirs, so the policy is not said to be in force.
    assert_eq!(observed(&rig).0, None);
    apply(&rig, &shapes);
    assert_eq!(observed(&rig).0, fingerprint);
    assert_eq!((on(&rig, "mec0v2"), on(&rig, "mec0i2")), before);
    let known = rig.on_box("tc -s class show dev mec0v2");
    assert!(!known.contains("Sent 0 bytes"), "{known}");
}

#[test]
fn a_link_made_anew_gets_its_rates_and_one_that_went_leaves_nothing() {
    let rig = box_of_three();
    apply(&rig, &[shape("whole", "both", "[]")]);
    let before = on(&rig, "mec0v2");
    // As when the container ends with its namespace.
    run(&format!("ip -n {}a link del eth0", rig.name));
    until("the end of the detour", || !is_there(&rig, "mec0i2"));
    rig.done(rig.attach("a", 2));
    assert_eq!(on(&rig, "mec0v2"), before);
    rig.inside("a", 2);
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7001", Sends::Client));
    is_limited(flow(&rig, "c", "a", "10.80.0.2:7002", Sends::Server));
    let lease = rig.lease(2);
    rig.done(Command::Detach { lease });
    assert!(!is_there(&rig, "mec0i2"));
}

#[test]
fn what_cannot_be_kept_is_refused_and_changes_nothing() {
    let rig = box_of_three();
    apply(&rig, &[shape("whole", "to-app", "[]")]);
    let before = (on(&rig, "mec0v2"), observed(&rig).0);
    let icmp = shape(
        "ping",
        "both",
        r#"[{"protocol":"icmp","sourcePort":["1"]}]"#,
    );
    let refused = refusal(&rig, &[shape("fine", "both", "[]"), icmp]);
    assert!(!refused.transient && refused.sentence.contains("allocation ping"));
    assert_eq!((on(&rig, "mec0v2"), observed(&rig).0), before);
    // The rules of the same policy are refused after its rates are there: they go again.
    let mut bad = policy(&rig, &[shape("other", "both", "[]")]);
    bad.apps.push(bad.apps[0].clone());
    let refused = rig.ask(Command::Apply { policy: bad });
    assert!(matches!(refused, Reply::Refused(refusal) if !refusal.transient));
    assert_eq!((on(&rig, "mec0v2"), observed(&rig).0), before);
    // Somebody has put something of their own where packets come in: what was done before that is seen is undone.
    rig.on_box("tc qdisc add dev mec0v2 clsact");
    let before = on(&rig, "mec0v2");
    let mut faster = shape("whole", "both", "[]");
    faster.allocation.rate = "90000000".parse().unwrap();
    let refused = refusal(&rig, &[faster]);
    assert!(refused.transient, "{}", refused.sentence);
    assert_eq!(on(&rig, "mec0v2"), before);
    assert!(!is_there(&rig, "mec0i2"));
}

#[test]
fn what_is_there_is_not_made_again() {
    let rig = box_of_three();
    let session = r#"[{"source":"10.0.0.9-10.0.7.1","destinationPort":["7"]},{"protocol":"icmp"}]"#;
    let mut shapes = [
        shape("slow", "both", session),
        shape("fast", "both", session),
        shape("whole", "both", "[]"),
    ];
    for (shape, rate) in shapes.iter_mut().zip(["8000", "100000000000", "54321000"]) {
        shape.allocation.rate = rate.parse().unwrap();
    }
    apply(&rig, &shapes);
    let socket = rig.within("", || {
        let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
        socket.bind_auto().unwrap();
        socket.add_membership(RTNLGRP_TC).unwrap();
        socket.set_non_blocking(true).unwrap();
        socket
    });
    apply(&rig, &shapes);
    rig.done(rig.attach("a", 2));
    assert_eq!(news(&socket), 0);
    shapes[0].allocation.rate = "8001000".parse().unwrap();
    apply(&rig, &shapes);
    // A class each way. The filters keep their order.
    assert_eq!(news(&socket), 2);
}

#[test]
fn sixteen_allocations_of_sixteen_sessions_are_held_and_taken_away() {
    let mut rig = box_of_three();
    let ports: Vec<String> = (0..16)
        .map(|n| format!("\"{}-{}\"", n * 9 + 1, n * 9 + 3))
        .collect();
    let ports = ports.join(",");
    let session = format!(
        r#"{{"source":"fd00::1-fd01::7","sourcePort":[{ports}],"destinationPort":[{ports}]}}"#
    );
    let sessions = format!("[{}]", [session.as_str(); 16].join(","));
    let shapes: Vec<Shape> = (0..16)
        .map(|n| shape(&format!("s{n:02}"), "both", &sessions))
        .collect();
    apply(&rig, &shapes);
    let classes = rig.on_box("tc class show dev mec0i2");
    assert_eq!(classes.lines().count(), 16);
    // Said again, it is there already: nothing is made twice.
    let before = on(&rig, "mec0i2");
    apply(&rig, &shapes);
    assert_eq!(on(&rig, "mec0i2"), before);
    rig.kill();
    rig.purge();
    assert!(!is_there(&rig, "mec0i2") && !is_there(&rig, "mec0v2"));
}
