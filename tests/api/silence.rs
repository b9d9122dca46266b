//! Heartbeats, and what becomes of services that stop sending them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::{Value, json};
use umec_tests::lab::{Lab, SOON};

use crate::bench::{Bench, availability, service};
use crate::callback::Listener;

const CREATE: &str = "mec011-service-management/createService";
const READ: &str = "mec011-service-management/readInstanceService";
const REPLACE: &str = "mec011-service-management/replaceService";
const LIVENESS: &str = "mec011-service-management/readLiveness";
const BEAT: &str = "mec011-service-management/sendHeartbeat";
const SUBSCRIBE: &str = "mec011-service-management/createSubscription";

/// The shortest there is.
const INTERVAL: Duration = Duration::from_secs(1);

fn alive() -> Value {
    json!({"state": "ACTIVE"})
}

/// A service of `one` that promises a heartbeat each second, and has a name.
fn beating() -> Value {
    let mut body = service();
    body["livenessInterval"] = json!(INTERVAL.as_secs());
    body["serName"] = json!("pulse");
    let uri = format!("http://{}:8124/", Lab::host_name("one"));
    body["transportInfo"]["endpoint"] = json!({"uris": [uri]});
    body
}

fn made(bench: &Bench, body: &Value) -> anyhow::Result<String> {
    let call = bench.call([&bench.one.id]).json(body);
    bench.made(CREATE, &call)
}

fn state(bench: &Bench, id: &str) -> anyhow::Result<String> {
    let call = bench.call([&bench.one.id, id]);
    let shown = bench.done(READ, &call, 200)?.json()?;
    Ok(shown["state"].as_str().context("no state")?.to_owned())
}

fn named(bench: &Bench) -> anyhow::Result<bool> {
    let name = "one._pulse._tcp.edge.mec.internal";
    Ok(!bench.lab.node.dig(name, "SRV")?.is_empty())
}

/// The next notification's state, which has to be a change of nothing else.
fn heard(listener: &Listener) -> anyhow::Result<(String, Instant)> {
    let heard = listener.next()?;
    let about = &heard.body["serviceReferences"][0];
    ensure!(about["changeType"] == "STATE_CHANGED", "{}", heard.body);
    Ok((
        about["state"].as_str().unwrap_or_default().to_owned(),
        heard.at,
    ))
}

#[test]
fn a_silent_service_is_suspended_until_it_is_heard_of() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let listener = Listener::start()?;
    let mut wanted = availability();
    wanted["callbackReference"] = json!(listener.uri);
    bench.made(SUBSCRIBE, &bench.call([&bench.two.id]).json(&wanted))?;
    let id = made(&bench, &beating())?;
    let added = listener.next()?;
    ensure!(
        added.body["serviceReferences"][0]["changeType"] == "ADDED",
        "{}",
        added.body
    );
    let call = bench.call([&bench.one.id, &id]).token(&bench.one.token);
    let shown = bench.done(READ, &call, 200)?.json()?;
    let href = shown["_links"]["liveness"]["href"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        href.ends_with(&format!("/services/{id}/liveness")),
        "{shown}"
    );

    // As long as it is heard of, it stays.
    let begun = Instant::now();
    while begun.elapsed() < 3 * INTERVAL {
        let beat = bench
            .done(BEAT, &call.clone().json(&alive()), 200)?
            .json()?;
        ensure!(beat["state"] == "ACTIVE" && beat["interval"] == 1, "{beat}");
    }
    ensure!(
        listener.rest().is_empty(),
        "it was suspended although it was heard of"
    );
    let last = Instant::now();
    let (now, at) = heard(&listener)?;
    ensure!(now == "SUSPENDED", "{now}");
    ensure!(
        at.duration_since(last) >= INTERVAL,
        "suspended before its time"
    );
    ensure!(
        state(&bench, &id)? == "SUSPENDED" && !named(&bench)?,
        "it is still announced"
    );

    // Another edged knows it, and gives nobody more than an interval.
    let other = made(&bench, &beating())?;
    listener.next()?;
    bench.lab.node.kill("edged")?;
    until(SOON, || {
        Ok((state(&bench, &id)? == "SUSPENDED").then_some(()))
    })?;
    until(SOON, || {
        Ok((state(&bench, &other)? == "SUSPENDED").then_some(()))
    })?;

    listener.rest();
    let beat = bench
        .done(BEAT, &call.clone().json(&alive()), 200)?
        .json()?;
    ensure!(beat["state"] == "ACTIVE", "{beat}");
    ensure!(
        state(&bench, &id)? == "ACTIVE" && named(&bench)?,
        "it is not announced again"
    );
    bench.lab.node.stop()
}

#[test]
fn a_heartbeat_says_active_and_comes_from_who_promised_it() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let mut chosen = beating();
    chosen["livenessInterval"] = json!(0);
    let id = made(&bench, &chosen)?;
    let call = bench.call([&bench.one.id, &id]);
    let answer = bench.done(LIVENESS, &call, 200)?;
    let etag = answer.header("etag").context("no ETag")?.to_owned();
    let before = answer.json()?;
    ensure!(
        before["interval"].as_u64() > Some(0) && before["state"] == "ACTIVE",
        "{before}"
    );
    for bad in [
        json!({"state": "INACTIVE"}),
        json!({"state": "SUSPENDED"}),
        json!({}),
    ] {
        bench.done(BEAT, &call.clone().json(&bad), 400)?;
    }
    let stranger = call.clone().token(&bench.two.token).json(&alive());
    bench.done(BEAT, &stranger, 403)?;
    let beat = call.clone().json(&alive()).header("If-Match", &etag);
    bench.done(BEAT, &beat, 200)?;
    bench.done(BEAT, &beat, 412)?;
    // INACTIVE is the application's word.
    chosen["state"] = json!("INACTIVE");
    bench.done(REPLACE, &call.clone().json(&chosen), 200)?;
    let beat = bench
        .done(BEAT, &call.clone().json(&alive()), 200)?
        .json()?;
    ensure!(beat["state"] == "INACTIVE", "{beat}");
    let mut quiet = service();
    quiet["livenessInterval"] = Value::Null;
    let quiet = made(&bench, &quiet)?;
    let call = bench.call([&bench.one.id, &quiet]);
    bench.done(LIVENESS, &call, 404)?;
    bench.done(BEAT, &call.json(&alive()), 404)?;
    bench.lab.node.stop()
}
