//! DNS rules (ETSI GS MEC 011, 7.1.6), asked for over HTTP and seen by dig.

use std::process::Command;

use anyhow::{Context, ensure};
use board::client::until;
use board::process;
use serde_json::{Value, json};
use umec_tests::lab::SOON;

use crate::field::Field;
use crate::rules::{RULED, WAITING, dns_path, with};

/// What dig shows of a name: the status, and TTL and data of each answer.
fn dig(field: &Field, name: &str, kind: &str) -> anyhow::Result<(String, Vec<(u32, String)>)> {
    let dns = &field.lab.node.line.dns;
    let shown = process::output(
        Command::new("dig")
            .args(["+noall", "+comments", "+answer", "+tries=1", "+time=5"])
            .arg(format!("@{}", dns.host))
            .args(["-p", &dns.port.to_string(), name, kind]),
    )?;
    let status = shown
        .split("status: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let mut answers = Vec::new();
    for line in shown.lines().filter(|line| !line.starts_with(';')) {
        if let [_, ttl, "IN", of, data] = line.split_whitespace().collect::<Vec<_>>()[..] {
            ensure!(of == kind, "{line}");
            answers.push((ttl.parse()?, data.to_owned()));
        }
    }
    Ok((status.with_context(|| shown.clone())?.to_owned(), answers))
}

fn shows(field: &Field, name: &str, kind: &str, ttl: u32, address: &str) -> anyhow::Result<()> {
    let (status, answers) = dig(field, name, kind)?;
    ensure!(
        status == "NOERROR" && answers == [(ttl, address.to_owned())],
        "{name} {kind}: {status} {answers:?} instead of {ttl} {address}"
    );
    Ok(())
}

/// Nobody answers for the name: it is in no zone of the node, which asks nobody else.
fn is_unknown(field: &Field, name: &str) -> anyhow::Result<()> {
    let (status, answers) = dig(field, name, "A")?;
    ensure!(
        ["REFUSED", "NXDOMAIN"].contains(&status.as_str()) && answers.is_empty(),
        "{name}: {status} {answers:?}"
    );
    Ok(())
}

fn named(name: &str, address: &str, ttl: u32, state: &str) -> Value {
    let family = if address.contains(':') {
        "IP_V6"
    } else {
        "IP_V4"
    };
    json!({"dnsRuleId": "", "domainName": name, "ipAddressType": family, "ipAddress": address, "ttl": ttl,
        "state": state})
}

#[test]
fn dig_shows_what_a_dns_rule_says_as_long_as_it_says_so() -> anyhow::Result<()> {
    let field = Field::start(&[])?;
    let path = dns_path(RULED, "first");
    let name = "first.example.org";
    let put = |address: &str, ttl: u32, state: &str| {
        let rule = named(name, address, ttl, state);
        let answer = field.ask("PUT", &path, Some(&rule))?.expect(200);
        answer.map(drop).with_context(|| rule.to_string())
    };
    is_unknown(&field, name)?;
    put("192.0.2.80", 77, "ACTIVE")?;
    shows(&field, name, "A", 77, "192.0.2.80")?;
    shows(&field, "FIRST.Example.ORG", "A", 77, "192.0.2.80")?;
    is_unknown(&field, "second.example.org")?;
    // Of the other family there is nothing, and the name is there.
    ensure!(dig(&field, name, "AAAA")? == ("NOERROR".to_owned(), Vec::new()));
    put("192.0.2.81", 5, "ACTIVE")?;
    shows(&field, name, "A", 5, "192.0.2.81")?;
    put("2001:db8::81", 86_400, "ACTIVE")?;
    shows(&field, name, "AAAA", 86_400, "2001:db8::81")?;
    put("2001:db8::81", 86_400, "INACTIVE")?;
    is_unknown(&field, name)?;
    // A refused change leaves what is.
    put("192.0.2.82", 60, "ACTIVE")?;
    let bad = named(name, "192.0.2.999", 60, "ACTIVE");
    field.ask("PUT", &path, Some(&bad))?.expect(400)?;
    let family = with(
        named(name, "192.0.2.83", 60, "ACTIVE"),
        "ipAddressType",
        json!("IP_V6"),
    );
    field.ask("PUT", &path, Some(&family))?.expect(400)?;
    shows(&field, name, "A", 60, "192.0.2.82")?;
    field.end()
}

#[test]
fn a_dns_rule_survives_a_sudden_end_and_goes_with_its_registration() -> anyhow::Result<()> {
    let field = Field::start(&[])?;
    let name = "second.example.org";
    let rule = named(name, "192.0.2.90", 30, "ACTIVE");
    let path = dns_path(RULED, "second");
    field.ask("PUT", &path, Some(&rule))?.expect(200)?;
    field.lab.node.kill("edged")?;
    let again = || shows(&field, name, "A", 30, "192.0.2.90").map(Some);
    until(SOON, again).context("after edged was killed")?;
    let ready = || Ok(field.ask("GET", "/readyz", None)?.expect(200).ok());
    until(SOON, ready).context("not ready after edged was killed")?;
    let registration = format!("/mec_app_support/v1/registrations/{RULED}");
    field.ask("DELETE", &registration, None)?.expect(204)?;
    is_unknown(&field, name)?;
    field.ask("GET", &path, None)?.expect(404)?;
    field.end()
}

#[test]
fn a_name_of_an_application_that_is_not_ready_is_not_answered() -> anyhow::Result<()> {
    let field = Field::start(&[])?;
    let rule = named("early.example.org", "192.0.2.91", 30, "ACTIVE");
    let refused = field
        .ask("PUT", &dns_path(WAITING, "early"), Some(&rule))?
        .expect(403)?;
    ensure!(refused.shown().contains("not ready"), "{}", refused.shown());
    is_unknown(&field, "early.example.org")?;
    field.end()
}
