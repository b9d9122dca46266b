//! From the change of a DNS rule to its answer.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{Client, Means, Measure, Scratch, seed, tails};
use crate::client::Node;

/// Changes, each answered before the next.
const ROUNDS: u32 = 500;
/// Longest wait for an answer of the resolver.
const PATIENCE: Duration = Duration::from_secs(2);
const RULE: &str = "cache";
/// `cdn.example.org`, as it is written in a question (RFC 1035, 3.1).
const NAME: &[u8] = b"\x03cdn\x07example\x03org\x00";

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("mec-names")?;
    let rule = |address: Ipv4Addr| {
        json!({"dnsRuleId": RULE, "domainName": "cdn.example.org", "ipAddressType": "IP_V4",
            "ipAddress": address, "ttl": 60, "state": "ACTIVE"})
    };
    let first = [rule(Ipv4Addr::new(192, 0, 2, 1))];
    let node = super::node(
        means,
        &scratch,
        &seed::of(&[seed::instance(0, "dnsRules", &first)]),
    )?;
    let mut client = Client::new(&node)?;
    let resolver = resolver(&node)?;
    let path = format!(
        "/mec_app_support/v1/applications/{}/dns_rules/{RULE}",
        seed::id(0)
    );
    let (mut seen, mut answered, mut late) = (Vec::new(), Vec::new(), 0);
    for round in 0..means.rounds(ROUNDS) {
        let [.., last] = round.to_be_bytes();
        let address = Ipv4Addr::new(198, 51, 100, last);
        let begun = Instant::now();
        client.ask("PUT", &path, Some(&rule(address)), 200)?;
        answered.push(begun.elapsed());
        while look(&resolver)? != address {
            late += 1;
            ensure!(begun.elapsed() < PATIENCE, "{address} is not answered");
        }
        seen.push(begun.elapsed());
    }
    node.stop()?;
    let mut rows = tails("PUT sent to the new address heard", &seen);
    rows.extend(tails("PUT sent to its answer", &answered));
    Ok(Measure {
        work: "change of a DNS rule to its answer over UDP".to_owned(),
        aim: "5 ms".to_owned(),
        rows,
        notes: vec![format!(
            "The question is sent when the PUT is answered; {late} of them were answered with the old address."
        )],
    })
}

fn resolver(node: &Node) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect((node.line.dns.host, node.line.dns.port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The one address of the name (RFC 1035, 4).
fn look(resolver: &UdpSocket) -> anyhow::Result<Ipv4Addr> {
    // An id, recursion desired, one question; its type A and class IN.
    let head = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    resolver.send(&[&head[..], NAME, &[0, 1, 0, 1]].concat())?;
    let mut answer = [0; 512];
    let length = resolver.recv(&mut answer)?;
    let answer = answer.get(..length).unwrap_or_default();
    ensure!(
        answer.get(6..8) == Some(&[0, 1]),
        "not one answer: {answer:02x?}"
    );
    // Behind the question: name, type, class, time to live and length, and then the address.
    let name_at = head.len() + NAME.len() + 4;
    let pointer = answer
        .get(name_at)
        .is_some_and(|octet| octet & 0xc0 == 0xc0);
    let data_at = name_at + if pointer { 2 } else { NAME.len() } + 10;
    let octets: [u8; 4] = answer
        .get(data_at..data_at + 4)
        .and_then(|octets| octets.try_into().ok())
        .with_context(|| format!("no address: {answer:02x?}"))?;
    Ok(octets.into())
}
