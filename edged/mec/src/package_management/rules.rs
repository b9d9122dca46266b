//! The rules of a descriptor, as the kernel and the resolver take them.

use edged_model::Rules;
use edged_package::{AppDescriptor, DnsRuleDescriptor, InterfaceDescriptor, TrafficRuleDescriptor};
use mec_api::Problem;
use mec_api::app_support as wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app_support::{dns, traffic};

/// A rule that cannot be.
#[derive(Debug)]
pub struct RuleFault {
    /// JSON Pointer (RFC 6901) into the `AppD`.
    pub field: String,
    /// Why, and the status.
    pub problem: Problem,
}

/// The traffic and DNS rules of a descriptor, active from the start (MEC 010-2 gives them no state).
///
/// # Errors
/// [`RuleFault`] for the first rule that cannot be read; whether the box can keep it is asked elsewhere.
pub fn rules(appd: &AppDescriptor) -> Result<Rules, RuleFault> {
    let mut rules = Rules::default();
    for (at, rule) in appd.app_traffic_rule.iter().enumerate() {
        let fault = |problem| RuleFault {
            field: format!("/appTrafficRule/{at}"),
            problem,
        };
        let read = traffic_rule(rule).and_then(|wire| traffic::read(&rule.traffic_rule_id, &wire));
        let read = read.map_err(fault)?;
        if rules.traffic.iter().any(|other| other.id == read.id) {
            return Err(fault(twice(&rule.traffic_rule_id)));
        }
        rules.traffic.push(read);
    }
    for (at, rule) in appd.app_dns_rule.iter().enumerate() {
        let fault = |problem| RuleFault {
            field: format!("/appDNSRule/{at}"),
            problem,
        };
        let read = dns_rule(rule).and_then(|wire| dns::read(&rule.dns_rule_id, &wire));
        let read = read.map_err(fault)?;
        if rules.dns.iter().any(|other| other.id == read.id) {
            return Err(fault(twice(&rule.dns_rule_id)));
        }
        rules.dns.push(read);
    }
    Ok(rules)
}

fn twice(id: &str) -> Problem {
    Problem::unprocessable(format!(
        "rule {id} is there twice; give each rule its own name"
    ))
}

/// MEC 010-2 and MEC 011 spell a few members differently; the rest is the same JSON.
fn traffic_rule(rule: &TrafficRuleDescriptor) -> Result<wire::TrafficRule, Problem> {
    for filter in &rule.traffic_filter {
        if !filter.uri.is_empty() || !filter.packet_label.is_empty() {
            return Err(Problem::unprocessable(
                "trafficFilter: uri and packetLabel are not looked at by this node; match by address, port or protocol",
            ));
        }
    }
    let mut value = json(rule)?;
    let interfaces = rule.dst_interface.iter().map(interface);
    let interfaces = interfaces.collect::<Result<Vec<_>, _>>()?;
    if let Some(members) = value.as_object_mut() {
        members.insert("state".to_owned(), json!("ACTIVE"));
        members.remove("dstInterface");
        if !interfaces.is_empty() {
            members.insert("dstInterface".to_owned(), Value::Array(interfaces));
        }
        if let Some([one]) = members
            .get("dstInterface")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            let one = one.clone();
            members.insert("dstInterface".to_owned(), one);
        }
    }
    parsed(value)
}

fn interface(to: &InterfaceDescriptor) -> Result<Value, Problem> {
    let mut value = json(to)?;
    let Some(members) = value.as_object_mut() else {
        return Ok(value);
    };
    for (descriptor, wire) in [
        ("srcMACAddress", "srcMacAddress"),
        ("dstMACAddress", "dstMacAddress"),
        ("dstIPAddress", "dstIpAddress"),
    ] {
        if let Some(member) = members.remove(descriptor) {
            members.insert(wire.to_owned(), member);
        }
    }
    if let Some(tunnel) = members.get_mut("tunnelInfo").and_then(Value::as_object_mut) {
        if tunnel.remove("tunnelSpecificData").is_some() {
            return Err(Problem::unprocessable(
                "dstInterface/tunnelInfo/tunnelSpecificData is not used by this node; leave it out",
            ));
        }
        if tunnel.get("tunnelType") == Some(&json!("GTP-U")) {
            tunnel.insert("tunnelType".to_owned(), json!("GTP_U"));
        }
    }
    Ok(value)
}

fn dns_rule(rule: &DnsRuleDescriptor) -> Result<wire::DnsRule, Problem> {
    let mut value = json(rule)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("state".to_owned(), json!("ACTIVE"));
    }
    parsed(value)
}

fn json(value: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|error| Problem::unprocessable(error.to_string()))
}

fn parsed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| Problem::unprocessable(error.to_string()))
}
