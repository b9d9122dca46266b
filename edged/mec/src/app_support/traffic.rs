//! `TrafficRule` of MEC 011 read into what the kernel can hold, and back.

use std::net::IpAddr;
use std::str::FromStr;

use edged_model::{
    AddressRange, Destination, Dscp, FilterType, IpProtocol, ParseRuleError, PortRange,
    TrafficAction, TrafficFilter, TrafficRule, TunnelEnds, TunnelKind,
};
use mec_api::app_support as wire;
use mec_api::app_support::TrafficRuleAction as Action;
use mec_api::{OneOrMany, Problem};

/// Reads a rule; `id` is the one of the path.
///
/// # Errors
/// 400 naming the member that cannot be read.
pub fn read(id: &str, rule: &wire::TrafficRule) -> Result<TrafficRule, Problem> {
    Ok(TrafficRule {
        id: parse("trafficRuleId", id)?,
        filter_type: match rule.filter_type {
            wire::FilterType::Flow => FilterType::Flow,
            wire::FilterType::Packet => FilterType::Packet,
        },
        priority: rule.priority,
        filters: rule
            .traffic_filter
            .iter()
            .map(filter)
            .collect::<Result<_, _>>()?,
        action: action(rule)?,
        active: rule.state == wire::RuleState::Active,
    })
}

fn action(rule: &wire::TrafficRule) -> Result<TrafficAction, Problem> {
    let interfaces = rule
        .dst_interface
        .as_ref()
        .map_or(&[][..], OneOrMany::as_slice);
    let counted = |wanted: &str| {
        Err(Problem::bad_request(format!(
            "dstInterface: {} takes {wanted}, and {} came",
            rule.action.as_str(),
            interfaces.len()
        )))
    };
    match (rule.action, interfaces) {
        (Action::Drop, []) => Ok(TrafficAction::Drop),
        (Action::Drop, _) => counted("none"),
        // The one that packets leave by anyway; it changes nothing and is not kept.
        (Action::Passthrough, [] | [_]) => Ok(TrafficAction::Passthrough),
        (Action::Passthrough, _) => counted("at most one"),
        (Action::ForwardDecapsulated, [to]) => {
            Ok(TrafficAction::ForwardDecapsulated(destination(to)?))
        }
        (Action::ForwardEncapsulated, [to]) => {
            Ok(TrafficAction::ForwardEncapsulated(destination(to)?))
        }
        (Action::ForwardDecapsulated | Action::ForwardEncapsulated, _) => counted("one"),
        (Action::DuplicateDecapsulated, [to, copy]) => Ok(TrafficAction::DuplicateDecapsulated([
            destination(to)?,
            destination(copy)?,
        ])),
        (Action::DuplicateEncapsulated, [to, copy]) => Ok(TrafficAction::DuplicateEncapsulated([
            destination(to)?,
            destination(copy)?,
        ])),
        (Action::DuplicateDecapsulated | Action::DuplicateEncapsulated, _) => counted("two"),
    }
}

fn destination(wire: &wire::DestinationInterface) -> Result<Destination, Problem> {
    let missing = |member: &str| {
        Problem::bad_request(format!(
            "dstInterface/{member} is needed where interfaceType is {}",
            wire.interface_type.as_str()
        ))
    };
    match wire.interface_type {
        wire::InterfaceType::Ip => {
            let text = wire.dst_ip_address.as_deref();
            let text = text.ok_or_else(|| missing("dstIpAddress"))?;
            address("dstInterface/dstIpAddress", text).map(Destination::Ip)
        }
        wire::InterfaceType::Mac => {
            let text = wire.dst_mac_address.as_deref();
            let text = text.ok_or_else(|| missing("dstMacAddress"))?;
            let source = wire.src_mac_address.as_deref();
            Ok(Destination::Mac {
                source: source
                    .map(|text| parse("dstInterface/srcMacAddress", text))
                    .transpose()?,
                destination: parse("dstInterface/dstMacAddress", text)?,
            })
        }
        wire::InterfaceType::Tunnel => {
            let info = wire.tunnel_info.as_ref();
            let info = info.ok_or_else(|| missing("tunnelInfo"))?;
            let end = |member: &str, text: Option<&String>| {
                let text = text.ok_or_else(|| missing(member))?;
                address(&format!("dstInterface/{member}"), text)
            };
            Ok(Destination::Tunnel(TunnelEnds {
                kind: match info.tunnel_type {
                    wire::TunnelType::GtpU => TunnelKind::GtpU,
                    wire::TunnelType::Gre => TunnelKind::Gre,
                },
                source: end(
                    "tunnelInfo/tunnelSrcAddress",
                    info.tunnel_src_address.as_ref(),
                )?,
                destination: end(
                    "tunnelInfo/tunnelDstAddress",
                    info.tunnel_dst_address.as_ref(),
                )?,
            }))
        }
    }
}

fn filter(wire: &wire::TrafficFilter) -> Result<TrafficFilter, Problem> {
    Ok(TrafficFilter {
        source: list("srcAddress", wire.src_address.as_ref())?,
        destination: list("dstAddress", wire.dst_address.as_ref())?,
        source_port: list("srcPort", wire.src_port.as_ref())?,
        destination_port: list("dstPort", wire.dst_port.as_ref())?,
        protocol: list("protocol", wire.protocol.as_ref())?,
        tag: wire.tag.clone().unwrap_or_default(),
        tunnel_source: list("srcTunnelAddress", wire.src_tunnel_address.as_ref())?,
        tunnel_destination: list("tgtTunnelAddress", wire.tgt_tunnel_address.as_ref())?,
        tunnel_source_port: list("srcTunnelPort", wire.src_tunnel_port.as_ref())?,
        tunnel_destination_port: list("dstTunnelPort", wire.dst_tunnel_port.as_ref())?,
        qci: wire.qci.map(u32::from),
        dscp: wire
            .dscp
            .map(|dscp| Dscp::try_from(dscp).map_err(|error| refused("dSCP", &error)))
            .transpose()?,
        traffic_class: wire.tc,
    })
}

fn list<T>(member: &str, texts: Option<&Vec<String>>) -> Result<Vec<T>, Problem>
where
    T: FromStr<Err = ParseRuleError>,
{
    let texts = texts.into_iter().flatten();
    let member = format!("trafficFilter/{member}");
    texts.map(|text| parse(&member, text)).collect()
}

pub(super) fn parse<T>(member: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr<Err = ParseRuleError>,
{
    text.parse().map_err(|error| refused(member, &error))
}

fn refused(member: &str, error: &ParseRuleError) -> Problem {
    Problem::bad_request(format!("{member}: {error}"))
}

pub(super) fn address(member: &str, text: &str) -> Result<IpAddr, Problem> {
    text.trim()
        .parse()
        .map_err(|_| Problem::bad_request(format!("{member}: {text:?} is no IP address")))
}

/// Writes a rule as the interface answers it.
pub fn write(rule: &TrafficRule) -> wire::TrafficRule {
    let (action, interfaces): (_, Vec<_>) = match &rule.action {
        TrafficAction::Drop => (Action::Drop, vec![]),
        TrafficAction::Passthrough => (Action::Passthrough, vec![]),
        TrafficAction::ForwardDecapsulated(to) => (Action::ForwardDecapsulated, vec![*to]),
        TrafficAction::ForwardEncapsulated(to) => (Action::ForwardEncapsulated, vec![*to]),
        TrafficAction::DuplicateDecapsulated(to) => (Action::DuplicateDecapsulated, to.to_vec()),
        TrafficAction::DuplicateEncapsulated(to) => (Action::DuplicateEncapsulated, to.to_vec()),
    };
    let mut interfaces: Vec<_> = interfaces.iter().map(interface).collect();
    let dst_interface = match interfaces.len() {
        0 => None,
        1 => interfaces.pop().map(OneOrMany::One),
        _ => Some(OneOrMany::Many(interfaces)),
    };
    wire::TrafficRule {
        traffic_rule_id: rule.id.to_string(),
        filter_type: match rule.filter_type {
            FilterType::Flow => wire::FilterType::Flow,
            FilterType::Packet => wire::FilterType::Packet,
        },
        priority: rule.priority,
        traffic_filter: rule.filters.iter().map(filter_shown).collect(),
        action,
        dst_interface,
        state: if rule.active {
            wire::RuleState::Active
        } else {
            wire::RuleState::Inactive
        },
    }
}

fn interface(to: &Destination) -> wire::DestinationInterface {
    let none = |interface_type| wire::DestinationInterface {
        interface_type,
        tunnel_info: None,
        src_mac_address: None,
        dst_mac_address: None,
        dst_ip_address: None,
    };
    match to {
        Destination::Ip(address) => wire::DestinationInterface {
            dst_ip_address: Some(address.to_string()),
            ..none(wire::InterfaceType::Ip)
        },
        Destination::Mac {
            source,
            destination,
        } => wire::DestinationInterface {
            src_mac_address: source.map(|source| source.to_string()),
            dst_mac_address: Some(destination.to_string()),
            ..none(wire::InterfaceType::Mac)
        },
        Destination::Tunnel(ends) => wire::DestinationInterface {
            tunnel_info: Some(wire::TunnelInfo {
                tunnel_type: match ends.kind {
                    TunnelKind::GtpU => wire::TunnelType::GtpU,
                    TunnelKind::Gre => wire::TunnelType::Gre,
                },
                tunnel_dst_address: Some(ends.destination.to_string()),
                tunnel_src_address: Some(ends.source.to_string()),
            }),
            ..none(wire::InterfaceType::Tunnel)
        },
    }
}

fn filter_shown(filter: &TrafficFilter) -> wire::TrafficFilter {
    let addresses = texts::<AddressRange>;
    let ports = texts::<PortRange>;
    wire::TrafficFilter {
        src_address: addresses(&filter.source),
        dst_address: addresses(&filter.destination),
        src_port: ports(&filter.source_port),
        dst_port: ports(&filter.destination_port),
        protocol: texts::<IpProtocol>(&filter.protocol),
        tag: (!filter.tag.is_empty()).then(|| filter.tag.clone()),
        src_tunnel_address: addresses(&filter.tunnel_source),
        tgt_tunnel_address: addresses(&filter.tunnel_destination),
        src_tunnel_port: ports(&filter.tunnel_source_port),
        dst_tunnel_port: ports(&filter.tunnel_destination_port),
        qci: filter.qci.and_then(|qci| u8::try_from(qci).ok()),
        dscp: filter.dscp.map(Dscp::get),
        tc: filter.traffic_class,
    }
}

fn texts<T: std::fmt::Display>(values: &[T]) -> Option<Vec<String>> {
    (!values.is_empty()).then(|| values.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[allow(
        clippy::needless_pass_by_value,
        reason = "tests read better without borrows"
    )]
    fn rule(action: &str, interfaces: Value) -> Value {
        json!({ "trafficRuleId": "r", "filterType": "FLOW", "priority": 1, "state": "ACTIVE", "action": action,
            "trafficFilter": [{ "srcAddress": ["10.0.0.0/8", "10.9.0.1-10.9.0.3"], "dstPort": ["80", "8000-8010"],
                "protocol": ["tcp"], "dSCP": 10 }],
            "dstInterface": interfaces })
    }

    fn ip(address: &str) -> Value {
        json!({ "interfaceType": "IP", "dstIpAddress": address })
    }

    fn through(json: Value) -> Result<Value, Problem> {
        let wire: wire::TrafficRule = serde_json::from_value(json).unwrap();
        Ok(serde_json::to_value(write(&read("r", &wire)?)).unwrap())
    }

    #[test]
    fn a_rule_is_answered_as_it_was_put() {
        let gre = json!({ "interfaceType": "TUNNEL", "tunnelInfo":
            { "tunnelType": "GRE", "tunnelSrcAddress": "192.0.2.1", "tunnelDstAddress": "192.0.2.2" } });
        let mac = json!({ "interfaceType": "MAC", "dstMacAddress": "02:00:00:00:00:01" });
        for (action, interfaces) in [
            ("FORWARD_DECAPSULATED", ip("10.0.0.1")),
            ("FORWARD_ENCAPSULATED", gre),
            ("DUPLICATE_DECAPSULATED", json!([ip("10.0.0.1"), mac])),
        ] {
            let rule = rule(action, interfaces);
            assert_eq!(through(rule.clone()).unwrap(), rule);
        }
    }

    #[test]
    fn each_action_has_its_number_of_interfaces() {
        let (one, two) = (ip("10.0.0.1"), json!([ip("10.0.0.1"), ip("10.0.0.2")]));
        for (action, interfaces) in [
            ("DROP", one.clone()),
            ("PASSTHROUGH", two.clone()),
            ("FORWARD_DECAPSULATED", Value::Null),
            ("FORWARD_ENCAPSULATED", two),
            ("DUPLICATE_ENCAPSULATED", one),
        ] {
            let problem = through(rule(action, interfaces)).unwrap_err();
            assert!(problem.detail().starts_with("dstInterface: "), "{action}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (pointer, value, member) in [
            (
                "/trafficFilter/0/srcAddress",
                json!(["host"]),
                "trafficFilter/srcAddress",
            ),
            (
                "/trafficFilter/0/dstPort",
                json!(["http"]),
                "trafficFilter/dstPort",
            ),
            (
                "/dstInterface/dstIpAddress",
                json!("x"),
                "dstInterface/dstIpAddress",
            ),
            (
                "/dstInterface/interfaceType",
                json!("MAC"),
                "dstInterface/dstMacAddress",
            ),
        ] {
            let mut bad = rule("FORWARD_DECAPSULATED", ip("10.0.0.1"));
            *bad.pointer_mut(pointer).unwrap() = value;
            let problem = through(bad).unwrap_err();
            assert!(problem.detail().starts_with(member), "{}", problem.detail());
        }
    }
}
