//! Each action of a traffic rule (ETSI GS MEC 011, 7.1.5), asked for over HTTP and seen in packets.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::field::{Field, OUT, PUBLISHED};
use crate::rules::{drop_port, inactive, rule, to, with};

#[test]
fn drop_drops_only_what_matches_until_it_is_inactive() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let (a, b7000, b7001) = (
        field.ear("a", 6000)?,
        field.ear("b", 7000)?,
        field.ear("b", 7001)?,
    );
    for kind in ["FLOW", "PACKET"] {
        for b in field.both("b")? {
            field.put("one", &drop_port(7000, kind))?;
            a.says("to 7000", (b, 7000))?;
            a.says("to 7001", (b, 7001))?;
            let at = || format!("{kind} to {b}");
            b7001.hears_word("to 7001").with_context(at)?;
            b7000.hears_nothing().with_context(at)?;
            field.put("one", &inactive(drop_port(7000, kind)))?;
            a.says("again", (b, 7000))?;
            b7000.hears_word("again").with_context(at)?;
        }
    }
    // By who sends, too.
    let to_a = field.at("a")?;
    field.put(
        "one",
        &rule(
            "DROP",
            "PACKET",
            1,
            &json!({"srcAddress": [format!("{to_a}/32")]}),
        ),
    )?;
    a.says("from a", (field.at("b")?, 7000))?;
    b7000.hears_nothing()?;
    field.put(
        "one",
        &rule(
            "DROP",
            "PACKET",
            1,
            &json!({"srcAddress": ["203.0.113.0/24"]}),
        ),
    )?;
    a.says("from a", (field.at("b")?, 7000))?;
    b7000.hears_word("from a")?;
    field.end()
}

#[test]
fn a_forwarded_flow_goes_where_the_rule_says_and_its_answers_come_back() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b", "c"])?;
    for place in ["a", "b", "c", OUT] {
        field.serve(place, PUBLISHED)?;
        field.serve(place, field.published)?;
    }
    let machine = IpAddr::from(field.outside.machine);
    let ([a4, a6], [b4, b6], [c4, c6]) = (field.both("a")?, field.both("b")?, field.both("c")?);
    let out = field.at(OUT)?;
    for (from, asked, plain, led, seen) in [
        // From one application to another, that it may not reach by itself.
        ("a", (b4, PUBLISHED), "b", c4, format!("c sees {a4}")),
        ("a", (b6, PUBLISHED), "b", c6, format!("c sees {a6}")),
        // From outside, in place of the application that has published the port.
        (
            OUT,
            (machine, field.published),
            "a",
            c4,
            format!("c sees {out}"),
        ),
        // To the outside, as the machine.
        (
            "a",
            (b4, PUBLISHED),
            "b",
            out,
            format!("out sees {machine}"),
        ),
    ] {
        let filter =
            json!({"dstAddress": [asked.0], "dstPort": [asked.1.to_string()], "protocol": ["tcp"]});
        let lead = to(rule("FORWARD_ENCAPSULATED", "FLOW", 10, &filter), [led]);
        let before = field.call(from, asked)?.unwrap_or_default();
        ensure!(before.starts_with(plain), "{asked:?}: {before}");
        field.put("one", &lead)?;
        let now = field.call(from, asked)?;
        ensure!(
            now.as_deref() == Some(seen.as_str()),
            "{asked:?}: {now:?} instead of {seen}"
        );
        field.put("one", &inactive(lead))?;
        ensure!(
            field.call(from, asked)?.unwrap_or_default() == before,
            "{asked:?} is led yet"
        );
    }
    // Only the rule has opened the way.
    ensure!(field.call("a", (c4, PUBLISHED))?.is_none(), "a reaches c");
    ensure!(
        field.call("a", (out, PUBLISHED))?.is_none(),
        "a reaches the outside"
    );
    field.end()
}

#[test]
fn a_forwarded_packet_goes_to_its_new_address() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b", "c"])?;
    let (a, b, c) = (
        field.ear("a", 6000)?,
        field.ear("b", 7000)?,
        field.ear("c", 7000)?,
    );
    for (b_at, c_at) in field.both("b")?.into_iter().zip(field.both("c")?) {
        let filter = json!({"dstAddress": [b_at], "protocol": ["udp"]});
        let lead = to(rule("FORWARD_DECAPSULATED", "PACKET", 10, &filter), [c_at]);
        a.says("plain", (b_at, 7000))?;
        b.hears_word("plain")?;
        field.put("one", &lead)?;
        a.says("led", (b_at, 7000))?;
        let (word, from) = c.hears()?;
        ensure!(
            (word.as_str(), from.port()) == ("led", 6000),
            "{word} from {from}"
        );
        b.hears_nothing()?;
        field.put("one", &inactive(lead))?;
        a.says("again", (b_at, 7000))?;
        b.hears_word("again")?;
    }
    field.end()
}

#[test]
fn a_duplicate_arrives_twice() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b", "c"])?;
    let (a, b, c) = (
        field.ear("a", 6000)?,
        field.ear("b", 7000)?,
        field.ear("c", 7000)?,
    );
    let out = field.ear(OUT, 7000)?;
    for kind in ["FLOW", "PACKET"] {
        for (b_at, c_at) in field.both("b")?.into_iter().zip(field.both("c")?) {
            let filter = json!({"dstAddress": [b_at], "dstPort": ["7000"]});
            let twice = to(
                rule("DUPLICATE_ENCAPSULATED", kind, 10, &filter),
                [b_at, c_at],
            );
            field.put("one", &twice)?;
            a.says("both", (b_at, 7000))?;
            b.hears_word("both")?;
            c.hears_word("both")?;
            field.put("one", &inactive(twice))?;
            a.says("one", (b_at, 7000))?;
            b.hears_word("one")?;
            c.hears_nothing()?;
        }
    }
    // One of the two outside.
    let filter = json!({"dstPort": ["7000"]});
    let ends = [field.at("b")?, field.at(OUT)?];
    field.put(
        "one",
        &to(rule("DUPLICATE_DECAPSULATED", "PACKET", 10, &filter), ends),
    )?;
    a.says("away", (field.at("b")?, 7000))?;
    b.hears_word("away")?;
    out.hears_word("away")?;
    field.end()
}

#[test]
fn priority_decides_and_passthrough_shields_from_what_comes_after_it() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b", "c"])?;
    let (a, b, c) = (
        field.ear("a", 6000)?,
        field.ear("b", 7000)?,
        field.ear("c", 7000)?,
    );
    let to_b = (field.at("b")?, 7000);
    let filter = json!({"dstPort": ["7000"]});
    let action = |word: &str, priority| rule(word, "PACKET", priority, &filter);
    // Lower numbers come first; the order of the rules' names and of the requests is the other one.
    field.put("two", &action("DROP", 200))?;
    a.says("dropped", to_b)?;
    b.hears_nothing()?;
    field.put("three", &action("PASSTHROUGH", 100))?;
    a.says("passes", to_b)?;
    b.hears_word("passes")?;
    let lead = to(action("FORWARD_ENCAPSULATED", 50), [field.at("c")?]);
    field.put("one", &lead)?;
    a.says("led", to_b)?;
    c.hears_word("led")?;
    field.put(
        "one",
        &to(action("FORWARD_ENCAPSULATED", 150), [field.at("c")?]),
    )?;
    a.says("passes", to_b)?;
    b.hears_word("passes")?;
    field.put("three", &action("PASSTHROUGH", 255))?;
    a.says("led again", to_b)?;
    c.hears_word("led again")?;
    field.put("two", &action("DROP", 0))?;
    a.says("dropped again", to_b)?;
    b.hears_nothing()?;
    c.hears_nothing()?;
    // What nobody has allowed, letting pass does not allow.
    field.put("two", &inactive(action("DROP", 0)))?;
    field.put("one", &inactive(lead))?;
    field.put("three", &action("PASSTHROUGH", 0))?;
    a.says("denied", (field.at("c")?, 7000))?;
    c.hears_nothing()?;
    field.end()
}

/// Whether this machine's kernel makes GRE tunnels, asked in a namespace that goes with the question.
fn kernel_has_gre() -> anyhow::Result<bool> {
    let made = Command::new("unshare")
        .args([
            "--net", "ip", "link", "add", "name", "tunnel", "type", "gre",
        ])
        .args(["local", "192.0.2.1", "remote", "192.0.2.2"])
        .output()?;
    print!("{}", String::from_utf8_lossy(&made.stderr));
    Ok(made.status.success())
}

#[test]
fn a_tunnel_is_on_the_wire_where_the_kernel_has_its_kind_and_refused_where_not()
-> anyhow::Result<()> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};
    let field = Field::start(&["a"])?;
    let (machine, out) = (field.outside.machine, field.outside.address);
    let tunnel = |kind: &str| {
        let filter = json!({"dstPort": ["7000"]});
        let ends = json!({"interfaceType": "TUNNEL", "tunnelInfo":
            {"tunnelType": kind, "tunnelSrcAddress": machine, "tunnelDstAddress": out}});
        with(
            rule("FORWARD_ENCAPSULATED", "PACKET", 10, &filter),
            "dstInterface",
            ends,
        )
    };
    let sentence = field.is_refused("one", &tunnel("GTP_U"), 422)?;
    ensure!(sentence.contains("TEID"), "{sentence}");
    if !kernel_has_gre()? {
        let sentence = field.is_refused("one", &tunnel("GRE"), 422)?;
        println!("this kernel has no GRE tunnels; the node says: {sentence}");
        ensure!(sentence.contains("no GRE tunnels"), "{sentence}");
        return field.end();
    }
    println!("this kernel has GRE tunnels: the packet is looked for on the wire");
    // IPPROTO_GRE.
    let gre = Protocol::from_raw(47.try_into()?);
    let wire = field.within(OUT, || {
        Ok(socket(AddressFamily::INET, SocketType::RAW, Some(gre))?)
    })?;
    set_socket_timeout(&wire, Timeout::Recv, Some(umec_tests::lab::SOON))?;
    field.put("one", &tunnel("GRE"))?;
    let a = field.ear("a", 6000)?;
    a.says("wrapped", ("198.51.100.7".parse()?, 7000))?;
    let mut packet = [0_u8; 256];
    let (length, _) = recv(&wire, &mut packet, RecvFlags::empty())?;
    // An outer IPv4 header, GRE of four octets for IPv4, an inner IPv4 header, UDP.
    ensure!(packet.get(20..24) == Some(&[0, 0, 8, 0][..]), "{packet:?}");
    ensure!(
        packet.get(24 + 28..length) == Some(b"wrapped"),
        "{packet:?}"
    );
    field.put("one", &inactive(tunnel("GRE")))?;
    field.end()
}
