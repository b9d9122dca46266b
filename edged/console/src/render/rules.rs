//! Services and rules as tables.

use super::{Look, dash_if_empty};
use crate::table::{Cell, Tone, table};
use crate::{DnsRuleView, Force, ServiceView, TrafficRuleView};

pub(crate) fn services(list: &[ServiceView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        let tone = match one.state.as_str() {
            "ACTIVE" => Tone::Good,
            "SUSPENDED" => Tone::Bad,
            _ => Tone::Plain,
        };
        [
            one.name.as_str().into(),
            one.id.as_str().into(),
            one.owner.as_str().into(),
            Cell::toned(one.state.to_ascii_lowercase(), tone),
            dash_if_empty(one.version.clone()).into(),
            one.transport.as_deref().unwrap_or("-").into(),
            dash_if_empty(one.endpoints.join(", ")).into(),
        ]
    });
    let heading = [
        "NAME",
        "ID",
        "OWNER",
        "STATE",
        "VERSION",
        "TRANSPORT",
        "ENDPOINT",
    ];
    table(heading, rows.collect(), look.color)
}

pub(crate) fn traffic_rules(list: &[TrafficRuleView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        [
            one.about.app.as_str().into(),
            one.about.rule.as_str().into(),
            one.priority.to_string().into(),
            one.kind.as_str().into(),
            one.action.as_str().into(),
            force(one.about.state),
        ]
    });
    let heading = ["APP", "RULE", "PRIORITY", "TYPE", "ACTION", "STATE"];
    table(heading, rows.collect(), look.color)
}

pub(crate) fn dns_rules(list: &[DnsRuleView], look: Look) -> String {
    let rows = list.iter().map(|one| {
        [
            one.about.app.as_str().into(),
            one.about.rule.as_str().into(),
            one.name.as_str().into(),
            one.address.to_string().into(),
            one.ttl.map_or("-".to_owned(), |ttl| ttl.to_string()).into(),
            force(one.about.state),
        ]
    });
    let heading = ["APP", "RULE", "NAME", "ADDRESS", "TTL", "STATE"];
    table(heading, rows.collect(), look.color)
}

fn force(force: Force) -> Cell {
    match force {
        Force::InForce => Cell::toned("in force", Tone::Good),
        Force::Waiting => Cell::toned("waits until ready", Tone::Busy),
        Force::Inactive => "inactive".into(),
    }
}
