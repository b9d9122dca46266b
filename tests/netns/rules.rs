//! The rules that a node begins with, and how they are changed: nobody can add one over these interfaces.

use std::net::IpAddr;

use anyhow::Context;
use serde_json::{Value, json};

use crate::field::Field;
use crate::http::Answer;

/// Whose rules are changed.
pub const RULED: &str = "5f0a9f0e-64c5-4b3c-8a4e-6a2f0c9c7d01";
/// Whose rules cannot come into force: it does not run.
pub const WAITING: &str = "5f0a9f0e-64c5-4b3c-8a4e-6a2f0c9c7d02";
/// Rules of `RULED` beside `one`, `two` and `three`.
pub const MANY: u16 = 50;

pub fn many(number: u16) -> String {
    format!("many-{number}")
}

pub fn seed() -> Value {
    let mut traffic: Vec<Value> = ["one", "two", "three"].map(asleep).into();
    traffic.extend((0..MANY).map(|number| asleep(&many(number))));
    let name = |id: &str| {
        json!({"dnsRuleId": id, "domainName": format!("{id}.example.org"), "ipAddressType": "IP_V4",
            "ipAddress": "192.0.2.80", "ttl": 60, "state": "INACTIVE"})
    };
    json!({"instances": [
        {"appInstanceId": RULED, "appName": "ruled", "running": true, "trafficRules": traffic,
            "dnsRules": [name("first"), name("second")]},
        {"appInstanceId": WAITING, "appName": "waiting", "running": false, "trafficRules": [asleep("one")],
            "dnsRules": [name("early")]},
    ]})
}

/// A rule as the seed has it.
pub fn asleep(id: &str) -> Value {
    inactive(with(drop_port(9, "PACKET"), "trafficRuleId", json!(id)))
}

/// The same with another value of a member.
pub fn with(mut object: Value, member: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
    object
}

/// A rule of an action and its filter, in force.
pub fn rule(action: &str, kind: &str, priority: u8, filter: &Value) -> Value {
    json!({"trafficRuleId": "", "filterType": kind, "priority": priority, "trafficFilter": [filter],
        "action": action, "state": "ACTIVE"})
}

pub fn drop_port(port: u16, kind: &str) -> Value {
    rule(
        "DROP",
        kind,
        10,
        &json!({"dstPort": [port.to_string()], "protocol": ["udp"]}),
    )
}

/// The same rule, with somewhere to go.
pub fn to<const N: usize>(rule: Value, addresses: [IpAddr; N]) -> Value {
    let ends = addresses.map(|address| json!({"interfaceType": "IP", "dstIpAddress": address}));
    let ends = match ends.as_slice() {
        [one] => one.clone(),
        more => json!(more),
    };
    with(rule, "dstInterface", ends)
}

pub fn inactive(rule: Value) -> Value {
    with(rule, "state", json!("INACTIVE"))
}

pub fn traffic_path(instance: &str, id: &str) -> String {
    format!("/mec_app_support/v1/applications/{instance}/traffic_rules/{id}")
}

pub fn dns_path(instance: &str, id: &str) -> String {
    format!("/mec_app_support/v1/applications/{instance}/dns_rules/{id}")
}

impl Field {
    /// Asks for a rule of `RULED`, whatever the answer is.
    pub fn try_put(&self, id: &str, rule: &Value) -> anyhow::Result<Answer> {
        self.ask("PUT", &traffic_path(RULED, id), Some(&self.own(rule)?))
    }

    /// The rule, about packets of `a` alone where it names no address: other nodes of this machine test as well, and a
    /// rule is about all that the machine forwards.
    fn own(&self, rule: &Value) -> anyhow::Result<Value> {
        let filters = rule.get("trafficFilter").and_then(Value::as_array);
        let mut filters = filters.context("no trafficFilter")?.clone();
        for filter in &mut filters {
            if filter.get("srcAddress").is_none() && filter.get("dstAddress").is_none() {
                *filter = with(filter.take(), "srcAddress", json!(self.both("a")?));
            }
        }
        Ok(with(rule.clone(), "trafficFilter", json!(filters)))
    }

    /// Puts a rule of `RULED` in force, or out of it.
    pub fn put(&self, id: &str, rule: &Value) -> anyhow::Result<()> {
        let answer = self.try_put(id, rule)?.expect(200);
        answer.map(drop).with_context(|| rule.to_string())
    }

    /// A rule of `RULED` as the node shows it.
    pub fn shown(&self, id: &str) -> anyhow::Result<Value> {
        self.ask("GET", &traffic_path(RULED, id), None)?
            .expect(200)?
            .json()
    }

    /// Wants a refusal of this status with a sentence, and the rule unchanged.
    pub fn is_refused(&self, id: &str, rule: &Value, status: u16) -> anyhow::Result<String> {
        let before = self.shown(id)?;
        let answer = self.try_put(id, rule)?.expect(status)?;
        anyhow::ensure!(
            answer.media_type() == Some("application/problem+json"),
            "{}",
            answer.shown()
        );
        anyhow::ensure!(
            self.shown(id)? == before,
            "the rule of a refused change has changed"
        );
        let problem = answer.json()?;
        let sentence = problem.get("detail").and_then(Value::as_str);
        Ok(sentence.context("no sentence")?.to_owned())
    }
}
