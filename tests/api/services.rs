//! The registry of services: what is offered, found, named and announced.

use anyhow::{Context, ensure};
use board::client::until;
use board::process;
use serde_json::{Value, json};
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::bench::{Bench, service};

const CREATE: &str = "mec011-service-management/createService";
const LIST: &str = "mec011-service-management/listServices";
const OWN: &str = "mec011-service-management/listInstanceServices";
const READ: &str = "mec011-service-management/readInstanceService";
const REPLACE: &str = "mec011-service-management/replaceService";
const DELETE: &str = "mec011-service-management/deleteService";
const TRANSPORTS: &str = "mec011-service-management/listTransports";

/// A service with some members of its own; null takes one away.
fn with(members: &Value) -> Value {
    let mut body = service();
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    if let Value::Object(body) = &mut body {
        body.retain(|_, value| !value.is_null());
    }
    body
}

fn made(bench: &Bench, body: &Value) -> anyhow::Result<Value> {
    let call = bench.call([&bench.one.id]).token(&bench.one.token);
    bench.done(CREATE, &call.json(body), 201)?.json()
}

fn id_of(service: &Value) -> anyhow::Result<&str> {
    service["serInstanceId"].as_str().context("no id")
}

/// The names of the services that a query finds, sorted.
fn found(bench: &Bench, query: &str) -> anyhow::Result<Vec<String>> {
    let call = bench.call([]).query(query).token(&bench.two.token);
    let list = bench.done(LIST, &call, 200)?.json()?;
    let all = list.as_array().context("no list")?;
    let names = all.iter().filter_map(|it| it["serName"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

#[test]
fn a_service_is_changed_by_its_application_alone() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let call = bench.call([&bench.one.id]).token(&bench.one.token);
    let liar = with(&json!({
        "serInstanceId": "mine", "_links": {"self": {"href": "http://192.0.2.1/"}}, "isLocal": false,
    }));
    let answer = bench.done(CREATE, &call.clone().json(&liar), 201)?;
    let (location, etag) = (answer.header("location"), answer.header("etag"));
    let (location, etag) = (location.context("no Location")?, etag.context("no ETag")?);
    let body = answer.json()?;
    let id = id_of(&body)?;
    ensure!(
        id != "mine" && body["isLocal"] == true && body["consumedLocalOnly"] == true,
        "{body}"
    );
    ensure!(body["_links"]["self"]["href"] == location, "{body}");
    ensure!(
        location
            == format!(
                "http://{}/mec_service_mgmt/v1/applications/{}/services/{id}",
                bench.authority, bench.one.id
            ),
        "{location}"
    );

    let one = bench.call([&bench.one.id, id]).token(&bench.one.token);
    let read = bench.done(READ, &one, 200)?;
    ensure!(
        read.header("etag") == Some(etag),
        "another version was read"
    );
    ensure!(read.json()? == body, "another service was read");
    let newer = with(&json!({"version": "2", "serInstanceId": "mine"}));
    let right = one.clone().header("If-Match", etag).json(&newer);
    let changed = bench.done(REPLACE, &right, 200)?;
    let changed = changed.json()?;
    ensure!(
        changed["version"] == "2" && changed["serInstanceId"] == id,
        "{changed}"
    );
    bench.done(REPLACE, &right, 412)?;
    bench.done(REPLACE, &one.clone().json(&json!({"serName": "page"})), 400)?;

    let another = bench.call([&bench.one.id, id]).token(&bench.two.token);
    bench.done(READ, &another, 403)?;
    bench.done(REPLACE, &another.clone().json(&newer), 403)?;
    bench.done(DELETE, &another, 403)?;
    let elsewhere = bench.call([&bench.two.id, id]).token(&bench.two.token);
    bench.done(DELETE, &elsewhere, 404)?;
    bench.done(DELETE, &one, 204)?;
    bench.done(DELETE, &one, 404)?;
    bench.lab.node.stop()
}

#[test]
fn a_query_finds_what_it_names() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let category =
        json!({"href": "/catalogue", "id": "weather", "name": "Weather", "version": "1"});
    let wind = made(
        &bench,
        &with(&json!({"serName": "wind", "serCategory": category})),
    )?;
    made(
        &bench,
        &with(&json!({"serName": "rain", "consumedLocalOnly": false})),
    )?;
    made(
        &bench,
        &with(&json!({"serName": "sun", "scopeOfLocality": "MEC_SYSTEM"})),
    )?;
    let all = ["rain", "sun", "wind"].map(str::to_owned);
    for (query, expected) in [
        ("", &all[..]),
        ("is_local=true", &all[..]),
        ("is_local=false", &[]),
        ("ser_name=rain&ser_name=sun&ser_name=snow", &all[..2]),
        ("ser_category_id=weather", &all[2..]),
        ("scope_of_locality=MEC_SYSTEM", &all[1..2]),
        ("consumed_local_only=false", &all[..1]),
        ("ser_name=rain&consumed_local_only=true", &[]),
        (&format!("ser_instance_id={}", id_of(&wind)?), &all[2..]),
    ] {
        ensure!(
            found(&bench, query)? == expected,
            "{query}: {:?}",
            found(&bench, query)?
        );
    }
    for query in [
        "ser_name=rain&ser_category_id=weather",
        "ser_name=rain&ser_instance_id=1",
        "instance_id=1",
        "scope_of_locality=HERE",
        "is_local=maybe",
    ] {
        bench.done(LIST, &bench.call([]).query(query), 400)?;
        let own = bench.call([&bench.one.id]).query(query);
        bench.done(OWN, &own, 400)?;
    }
    let own = bench.call([&bench.one.id]).token(&bench.one.token);
    let own = bench.done(OWN, &own.query("ser_name=sun"), 200)?.json()?;
    ensure!(own.as_array().map(Vec::len) == Some(1), "{own}");
    let none = bench.call([&bench.two.id]).token(&bench.two.token);
    ensure!(
        bench.done(OWN, &none, 200)?.json()? == json!([]),
        "another's services are listed"
    );
    bench.lab.node.stop()
}

#[test]
fn a_transport_of_the_node_is_taken_by_its_id() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let list = bench.done(TRANSPORTS, &bench.call([]), 200)?.json()?;
    let ids: Vec<_> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| &it["id"])
        .collect();
    ensure!(ids == ["rest", "mqtt"], "{list}");
    let token = &list[0]["security"]["oAuth2Info"]["tokenEndpoint"];
    ensure!(
        *token == format!("http://{}/token", bench.authority),
        "{list}"
    );

    let bus = with(&json!({"transportInfo": null, "transportId": "mqtt"}));
    let bus = made(&bench, &bus)?;
    ensure!(bus["transportId"].is_null(), "{bus}");
    let transport = &bus["transportInfo"];
    ensure!(transport["endpoint"] == list[1]["endpoint"], "{bus}");
    let topics = json!([format!("apps/{}/#", bench.one.id)]);
    ensure!(transport["implSpecificInfo"]["topics"] == topics, "{bus}");
    let rest = with(&json!({"transportInfo": null, "transportId": "rest"}));
    let rest = made(&bench, &rest)?;
    let uris = json!([format!("http://{}/", Lab::host_name("one"))]);
    ensure!(rest["transportInfo"]["endpoint"]["uris"] == uris, "{rest}");

    let call = bench.call([&bench.one.id]);
    for bad in [
        json!({"transportId": "rest"}),
        json!({"transportInfo": null}),
        json!({"transportInfo": null, "transportId": "pigeon"}),
    ] {
        bench.done(CREATE, &call.clone().json(&with(&bad)), 400)?;
    }
    let long = with(&json!({"serName": "x".repeat(20_000)}));
    bench.done(CREATE, &call.json(&long), 413)?;
    bench.lab.node.stop()
}

#[test]
fn what_an_application_was_deployed_with_is_in_the_registry_while_it_is_ready() -> anyhow::Result<()>
{
    let bench = Bench::start()?;
    let image = bench.lab.image("page", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    bench.lab.run(
        "page",
        &["--service", "page:8080", "--health-http", "8080/"],
        &image,
    )?;
    let call = bench.call([]).query("ser_name=page");
    let list = bench.done(LIST, &call, 200)?.json()?;
    let uris = json!([format!("http://{}:8080/", Lab::host_name("page"))]);
    ensure!(
        list[0]["transportInfo"]["endpoint"]["uris"] == uris,
        "{list}"
    );
    let owner = bench.lab.inspect("page")?;
    let owner = owner["id"].as_str().context("no id")?;
    let one = bench.call([owner, id_of(&list[0])?]);
    ensure!(bench.done(READ, &one, 200)?.json()? == list[0], "{list}");
    bench.done(REPLACE, &one.clone().json(&service()), 403)?;
    bench.done(DELETE, &one, 403)?;
    // What the application says itself is better.
    let own = bench.call([owner]).json(&with(&json!({"serName": "page"})));
    bench.done(CREATE, &own, 201)?;
    let list = bench.done(LIST, &call, 200)?.json()?;
    ensure!(list[1].is_null() && list[0]["version"] == "1.0.0", "{list}");
    let said = bench.call([owner, id_of(&list[0])?]);
    bench.done(DELETE, &said, 204)?;
    ensure!(
        found(&bench, "ser_name=page")? == ["page"],
        "the declared one is not back"
    );
    bench.lab.node.verb(&["stop", "page"])?;
    until(SOON, || {
        Ok(found(&bench, "ser_name=page")?.is_empty().then_some(()))
    })?;
    bench.lab.node.stop()
}

/// What the bus has for a service now.
fn event(bench: &Bench, id: &str) -> anyhow::Result<Value> {
    let topic = format!("events/services/{id}");
    let mut command = bench.lab.node.mosquitto("mosquitto_sub");
    let text = process::output(command.args(["-t", &topic, "-C", "1", "-W", "2"]))?;
    Ok(serde_json::from_str(&text)?)
}

#[test]
fn a_registered_service_has_a_name_and_an_event_while_it_is_active() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let uri = format!("http://{}:8123/", Lab::host_name("one"));
    let body = |state: &str| {
        let mut body = with(&json!({"serName": "gauge", "state": state}));
        body["transportInfo"]["endpoint"] = json!({"uris": [uri]});
        body
    };
    let service = made(&bench, &body("ACTIVE"))?;
    let id = id_of(&service)?;
    let name = "one._gauge._tcp.edge.mec.internal";
    let record = bench.lab.node.dig(name, "SRV")?;
    let target = format!("8123 {}.", Lab::host_name("one"));
    ensure!(
        record.len() == 1 && record[0].ends_with(&target),
        "{record:?}"
    );
    ensure!(event(&bench, id)?["state"] == "ACTIVE");

    // A name of this node does not lead to another box.
    made(&bench, &with(&json!({"serName": "abroad"})))?;
    let abroad = bench
        .lab
        .node
        .dig("one._abroad._tcp.edge.mec.internal", "SRV")?;
    ensure!(abroad.is_empty(), "{abroad:?}");

    let one = bench.call([&bench.one.id, id]);
    bench.done(REPLACE, &one.clone().json(&body("INACTIVE")), 200)?;
    ensure!(
        bench.lab.node.dig(name, "SRV")?.is_empty(),
        "{name} is still there"
    );
    ensure!(event(&bench, id)?["state"] == "INACTIVE");
    bench.done(REPLACE, &one.clone().json(&body("ACTIVE")), 200)?;

    // Another edged finds it in the store.
    bench.lab.node.kill("edged")?;
    let shown = until(SOON, || Ok(Some(bench.done(READ, &one, 200)?.json()?)))?;
    ensure!(shown == service, "{service} became {shown}");
    until(SOON, || {
        Ok((bench.lab.node.dig(name, "SRV")?.len() == 1).then_some(()))
    })?;

    bench.done(DELETE, &one, 204)?;
    ensure!(
        bench.lab.node.dig(name, "SRV")?.is_empty(),
        "{name} outlives its service"
    );
    // A retained message that was cleared: nothing comes, and mosquitto_sub gives up.
    ensure!(event(&bench, id).is_err(), "the event outlives its service");
    bench.lab.node.stop()
}

#[test]
fn an_application_has_a_bounded_number_of_services() -> anyhow::Result<()> {
    const BOUND: usize = 128;
    let bench = Bench::start()?;
    let call = bench.call([&bench.one.id]).json(&service());
    for _ in 0..BOUND {
        bench.made(CREATE, &call)?;
    }
    bench.done(CREATE, &call, 403)?;
    let other = bench.call([&bench.two.id]).json(&service());
    bench.done(CREATE, &other, 201)?;
    bench.lab.node.stop()
}
