//! The whole life of an instance, and everybody who hears of it.

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::{Value, json};
use umec_tests::lab::{SOON, fetch};

use crate::callback::Listener;
use crate::orchestrator::{Orchestrator, WEB, forceful, instantiation};

const SUBSCRIPTIONS: &str = "/app_lcm/v1/subscriptions";

/// Rules that come with the package.
const RULES: &str = r#"
publish = ["18431:8080"]
[[dns_rules]]
dns_rule_id = "page"
domain_name = "page.example.org"
ip_address_type = "IP_V4"
ip_address = "192.0.2.80"
ttl = 60
[[traffic_rules]]
traffic_rule_id = "no-telnet"
filter_type = "PACKET"
priority = 10
traffic_filter = [{ dst_port = ["23"], protocol = ["tcp"] }]
action = "DROP"
"#;

#[test]
fn an_instance_of_a_package_lives_as_its_orchestrator_says() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let node = &orchestrator.node;
    let descriptor = orchestrator.onboard("page", WEB, RULES)?;
    let instance = orchestrator.create(&descriptor, "Entrance page")?;
    let used = |state: &str| -> anyhow::Result<()> {
        let shown =
            orchestrator.get(&format!("/app_pkgm/v1/onboarded_app_packages/{descriptor}"))?;
        ensure!(
            shown["usageState"] == state,
            "{state} was expected: {shown}"
        );
        Ok(())
    };
    used("IN_USE")?;
    let links = |wanted: &[&str]| -> anyhow::Result<()> {
        let shown = orchestrator.get(&instance)?;
        let links = shown["_links"].as_object().context("no links")?;
        let mut names: Vec<_> = links.keys().map(String::as_str).collect();
        names.retain(|name| *name != "self");
        ensure!(names == wanted, "{wanted:?} was expected: {names:?}");
        Ok(())
    };
    links(&["instantiate"])?;
    for task in ["terminate", "operate", "configure_platform_for_app"] {
        let body = match task {
            "terminate" => forceful(),
            "operate" => json!({ "changeStateTo": "STOPPED" }),
            _ => json!({}),
        };
        let path = format!("{instance}/{task}");
        orchestrator.refused(("POST", &path), Some(&body), (409, "not instantiated"))?;
    }

    orchestrator.done(&instance, "instantiate", &instantiation())?;
    ensure!(orchestrator.condition(&instance)? == "STARTED");
    links(&["configure_platform_for_app", "operate", "terminate"])?;
    let host = orchestrator.host(&instance)?;
    ensure!(host.starts_with("entrance-page-"), "{host}");
    let address = node
        .dig(&host, "A")?
        .into_iter()
        .next()
        .context("no address")?;
    let page = fetch(&format!("http://{address}:8080/index.html"))?;
    ensure!(page == "busybox speaking\n", "{page}");
    ensure!(node.dig("page.example.org", "A")? == ["192.0.2.80"]);
    let id = instance.rsplit('/').next().unwrap_or_default();
    let rules = format!("/mec_app_support/v1/applications/{id}");
    let dns = orchestrator.get(&format!("{rules}/dns_rules/page"))?;
    ensure!(dns["state"] == "ACTIVE" && dns["ttl"] == 60, "{dns}");
    let traffic = orchestrator.get(&format!("{rules}/traffic_rules/no-telnet"))?;
    ensure!(
        traffic["state"] == "ACTIVE" && traffic["action"] == "DROP",
        "{traffic}"
    );
    let again = Some(instantiation());
    orchestrator.refused(
        ("POST", &format!("{instance}/instantiate")),
        again.as_ref(),
        (409, "already"),
    )?;
    orchestrator.refused(("DELETE", &instance), None, (409, "terminate it first"))?;
    let start = json!({ "changeStateTo": "STARTED" });
    orchestrator.refused(
        ("POST", &format!("{instance}/operate")),
        Some(&start),
        (409, "STARTED already"),
    )?;

    let other = json!({ "appDNSRule": [{ "dnsRuleId": "other", "domainName": "other.example.org",
        "ipAddressType": "IP_V4", "ipAddress": "192.0.2.81", "ttl": 30 }] });
    orchestrator.done(&instance, "configure_platform_for_app", &other)?;
    ensure!(node.dig("other.example.org", "A")? == ["192.0.2.81"]);
    ensure!(
        node.dig("page.example.org", "A")?.is_empty(),
        "the old rule still answers"
    );
    ensure!(
        orchestrator
            .get(&format!("{rules}/traffic_rules"))?
            .as_array()
            .map(Vec::len)
            == Some(1)
    );

    orchestrator.done(&instance, "operate", &json!({ "changeStateTo": "STOPPED" }))?;
    ensure!(orchestrator.condition(&instance)? == "STOPPED");
    ensure!(
        node.dig(&host, "A")?.is_empty(),
        "what is stopped still has a name"
    );
    orchestrator.done(&instance, "operate", &start)?;
    ensure!(orchestrator.condition(&instance)? == "STARTED");
    ensure!(node.dig("other.example.org", "A")? == ["192.0.2.81"]);

    orchestrator.done(&instance, "terminate", &forceful())?;
    ensure!(orchestrator.condition(&instance)? == "NOT_INSTANTIATED");
    ensure!(node.dig(&host, "A")?.is_empty());
    orchestrator.ask("DELETE", &instance, None)?.expect(204)?;
    orchestrator.ask("GET", &instance, None)?.expect(404)?;
    used("NOT_IN_USE")?;
    orchestrator.node.stop()
}

fn subscribe(
    orchestrator: &Orchestrator,
    uri: &str,
    kind: &str,
    more: &Value,
) -> anyhow::Result<String> {
    let mut body = json!({ "subscriptionType": kind, "callbackUri": uri });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    let made = orchestrator.post(SUBSCRIPTIONS, &body, 201)?.json()?;
    Ok(made["id"].as_str().context("no id")?.to_owned())
}

/// The member of notifications that tells them apart, in the order in which they came.
fn heard(listener: &Listener, member: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..count {
        let body = listener.next()?.body;
        words.push(
            body[member]
                .as_str()
                .with_context(|| body.to_string())?
                .to_owned(),
        );
    }
    Ok(words)
}

#[test]
fn whoever_subscribed_hears_what_was_asked_for() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "")?;
    let (names, states, runs, nothing) = (
        Listener::start()?,
        Listener::start()?,
        Listener::start()?,
        Listener::start()?,
    );
    let of_it = json!({ "appInstSelectorType": 3, "appInstances": [descriptor] });
    let picked = json!({ "appInstanceSubscriptionFilter": of_it });
    subscribe(
        &orchestrator,
        &names.uri,
        "AppIdentifierCreationSubscription",
        &picked,
    )?;
    subscribe(
        &orchestrator,
        &names.uri,
        "AppIdentifierDeletionSubscription",
        &picked,
    )?;
    subscribe(
        &orchestrator,
        &states.uri,
        "AppInstanceStateChangeSubscription",
        &picked,
    )?;
    let kind = "AppLcmOpOccStateChangeSubscription";
    let filter = json!({ "appLcmOpOccSubscriptionFilter": { "operationTypes": "INSTANTIATE" } });
    let id = subscribe(&orchestrator, &runs.uri, kind, &filter)?;
    let none = json!({ "appLcmOpOccSubscriptionFilter": { "appInstanceSubscriptionFilter":
        { "appInstSelectorType": 2, "appInstances": ["another"] } } });
    subscribe(&orchestrator, &nothing.uri, kind, &none)?;
    let list = orchestrator.get(&format!("{SUBSCRIPTIONS}?subscriptionType={kind}"))?;
    ensure!(
        list["_links"]["subscriptions"].as_array().map(Vec::len) == Some(2),
        "{list}"
    );

    let instance = orchestrator.create(&descriptor, "page")?;
    orchestrator.done(&instance, "instantiate", &instantiation())?;
    orchestrator.done(&instance, "operate", &json!({ "changeStateTo": "STOPPED" }))?;
    orchestrator.done(&instance, "terminate", &forceful())?;
    orchestrator.ask("DELETE", &instance, None)?.expect(204)?;
    let type_of = "notificationType";
    ensure!(
        heard(&names, type_of, 2)?
            == [
                "AppIdentifierCreationSubscription",
                "AppIdentifierDeletionSubscription"
            ]
    );
    ensure!(heard(&states, "appInstanceState", 3)? == ["STARTED", "STOPPED", "NOT_INSTANTIATED"]);
    let first = runs.next()?.body;
    ensure!(
        first["operationState"] == "STARTING" && first["subscriptionId"] == id.as_str(),
        "{first}"
    );
    ensure!(
        first["_links"]["appInstance"]["href"]
            .as_str()
            .is_some_and(|href| href.ends_with(&instance))
    );
    ensure!(heard(&runs, "operationState", 2)? == ["PROCESSING", "COMPLETED"]);
    for listener in [names, states, runs, nothing] {
        let rest = listener.rest();
        ensure!(rest.is_empty(), "heard too much: {rest:?}");
    }
    orchestrator.node.stop()
}

#[test]
fn what_an_operator_removes_is_not_instantiated() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "publish = [\"18432:8080\"]")?;
    let instance = orchestrator.create(&descriptor, "page")?;
    orchestrator.done(&instance, "instantiate", &instantiation())?;
    let host = orchestrator.host(&instance)?;
    let name = host.split('.').next().unwrap_or_default();
    orchestrator.node.verb(&["rm", "--force", name])?;
    until(SOON, || {
        Ok((orchestrator.condition(&instance)? == "NOT_INSTANTIATED").then_some(()))
    })?;
    orchestrator.done(&instance, "instantiate", &instantiation())?;
    ensure!(orchestrator.condition(&instance)? == "STARTED");
    orchestrator.node.stop()
}

#[test]
fn lists_show_what_was_asked_for_oldest_first() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "")?;
    let first = orchestrator.create(&descriptor, "first")?;
    let second = orchestrator.create(&descriptor, "second")?;
    let run = orchestrator.instantiate(&second)?;
    orchestrator.wait(&run, "COMPLETED")?;
    let names = |path: &str, member: &str| -> anyhow::Result<Vec<Value>> {
        let list = orchestrator.get(path)?;
        let list = list.as_array().context("no list")?;
        Ok(list.iter().map(|one| one[member].clone()).collect())
    };
    let (instances, runs) = ("/app_lcm/v1/app_instances", "/app_lcm/v1/app_lcm_op_occs");
    let name = "appInstanceName";
    ensure!(names(instances, name)? == ["first", "second"]);
    let filter = |text: &str| format!("{instances}?filter={text}");
    let state = filter("(eq,instantiatedAppState/operationalState,STARTED)");
    ensure!(names(&state, name)? == ["second"]);
    let state = filter("(eq,instantiationState,NOT_INSTANTIATED)");
    ensure!(names(&state, name)? == ["first"]);
    let unknown = filter("(eq,colour,red)");
    orchestrator.refused(("GET", &unknown), None, (400, "colour"))?;
    // What is large is left out unless it is asked for.
    ensure!(names(runs, "operationParams")? == [Value::Null]);
    let whole = names(&format!("{runs}?all_fields"), "operationParams")?;
    ensure!(whole == [instantiation()], "{whole:?}");
    for path in [&first, &second] {
        let stranger = path.replace(|c: char| c.is_ascii_digit(), "0");
        orchestrator.ask("GET", &stranger, None)?.expect(404)?;
    }
    let elsewhere = json!({ "selectedMECHostInfo": [{ "hostId": { "id": "another" } }] });
    let path = format!("{first}/instantiate");
    orchestrator.refused(("POST", &path), Some(&elsewhere), (400, "not this node"))?;
    orchestrator.node.stop()
}
