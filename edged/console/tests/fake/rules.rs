//! Services and rules of the fake box: what is shown, and what a change is answered.

use edged_console::{
    DnsRuleView, ErrorKind, Force, PlatformError, RuleKind, RulePlace, RuleView, ServiceView,
    TrafficRuleView,
};
use serde_json::{Value, json};

pub fn services() -> Vec<ServiceView> {
    let one = |name: &str, owner: &str, state: &str| ServiceView {
        name: name.to_owned(),
        id: format!("{name}-0"),
        owner: owner.to_owned(),
        app_instance_id: format!("{owner}-1").parse().unwrap(),
        state: state.to_owned(),
        version: "1.0".to_owned(),
        transport: Some("REST_HTTP".to_owned()),
        endpoints: vec![format!("http://{owner}.app.mec.example/")],
    };
    vec![
        one("camera", "web", "ACTIVE"),
        ServiceView {
            transport: None,
            endpoints: Vec::new(),
            version: String::new(),
            ..one("meter", "worker", "SUSPENDED")
        },
    ]
}

pub fn service(wanted: &str) -> Result<Value, PlatformError> {
    match wanted {
        "camera" | "camera-0" => Ok(
            json!({"serInstanceId": "camera-0", "serName": "camera", "version": "1.0", "state": "ACTIVE"}),
        ),
        _ => {
            let message = format!("there is no service {wanted:?}");
            Err(PlatformError::new(ErrorKind::NotFound, message).with_hint("service ls lists them"))
        }
    }
}

fn about(app: &str, rule: &str, state: Force) -> RuleView {
    RuleView {
        app: app.to_owned(),
        app_instance_id: format!("{app}-1").parse().unwrap(),
        rule: rule.parse().unwrap(),
        state,
    }
}

fn is_of(application: Option<&str>, rule: &RuleView) -> bool {
    application.is_none_or(|wanted| rule.app == wanted)
}

fn known(application: Option<&str>) -> Result<(), PlatformError> {
    match application {
        None | Some("web" | "worker" | "idle") => Ok(()),
        Some(other) => Err(PlatformError::new(
            ErrorKind::NotFound,
            format!("there is no application {other:?}"),
        )
        .with_hint("ps lists them")),
    }
}

pub fn traffic(application: Option<&str>) -> Result<Vec<TrafficRuleView>, PlatformError> {
    known(application)?;
    let one = |app, rule, priority, state| TrafficRuleView {
        about: about(app, rule, state),
        priority,
        kind: "FLOW".to_owned(),
        action: "DROP".to_owned(),
    };
    let mut all = vec![
        one("web", "no-telnet", 1, Force::InForce),
        one("web", "mirror", 20, Force::Inactive),
        one("worker", "no-telnet", 1, Force::Waiting),
    ];
    all.retain(|rule| is_of(application, &rule.about));
    Ok(all)
}

pub fn dns(application: Option<&str>) -> Result<Vec<DnsRuleView>, PlatformError> {
    known(application)?;
    let one = |app, rule, ttl, state| DnsRuleView {
        about: about(app, rule, state),
        name: format!("{rule}.example.org"),
        address: "192.0.2.80".parse().unwrap(),
        ttl,
    };
    let mut all = vec![
        one("web", "maps", Some(60), Force::InForce),
        one("worker", "tiles", None, Force::Inactive),
    ];
    all.retain(|rule| is_of(application, &rule.about));
    Ok(all)
}

/// `web` has a rule of each kind, and nothing but `DROP` can be done.
pub fn rule(place: &RulePlace) -> Result<Value, PlatformError> {
    known(Some(&place.application))?;
    let (id, key) = match place.kind {
        RuleKind::Traffic => ("no-telnet", "trafficRuleId"),
        RuleKind::Dns => ("maps", "dnsRuleId"),
    };
    if place.application == "web" && place.rule.as_str() == id {
        return Ok(json!({key: id, "state": "ACTIVE"}));
    }
    let message = format!("{} has no rule {}", place.application, place.rule);
    Err(PlatformError::new(ErrorKind::NotFound, message).with_hint("rule ls lists them"))
}

pub fn replace(place: &RulePlace, json: &[u8]) -> Result<Value, PlatformError> {
    rule(place)?;
    serde_json::from_slice(json).map_err(|error| {
        PlatformError::new(ErrorKind::Invalid, error.to_string()).with_hint("nothing has changed")
    })
}
