//! Changes of services, heard by who subscribed.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::{Value, json};
use umec_tests::lab;

use crate::bench::{Bench, availability, service};
use crate::callback::{Listener, hanging, refusing};

/// Changes that are measured.
const CHANGES: usize = 50;
/// What is promised from the change to its callback on a quiet machine.
const PROMISE: Duration = Duration::from_millis(50);
/// Changes that nobody dead hears, in CI and in a whole campaign.
const UNHEARD: (u32, u32) = (300, 5_000);
/// Queues are bounded; what is beyond this is not noise of the allocator.
const GROWTH_KIB: u64 = 8 << 10;

fn subscribe(bench: &Bench, callback: &str) -> anyhow::Result<String> {
    let mut body = availability();
    body["callbackReference"] = json!(callback);
    let call = bench.call([&bench.two.id]).json(&body);
    bench.made("mec011-service-management/createSubscription", &call)
}

/// Changes the version of a service of `one`; when the change was asked for.
fn change(bench: &Bench, id: &str, version: &str) -> anyhow::Result<Instant> {
    let mut body = service();
    body["version"] = json!(version);
    let call = bench.call([&bench.one.id, id]).json(&body);
    let begun = Instant::now();
    bench.done("mec011-service-management/replaceService", &call, 200)?;
    Ok(begun)
}

/// The next notification, which has to be about this.
fn expect(bench: &Bench, listener: &Listener, id: &str, kind: &str) -> anyhow::Result<Instant> {
    let heard = listener.next()?;
    bench
        .contract
        .fits(
            "mec011-service-management.yaml",
            "ServiceAvailabilityNotification",
            &heard.body,
        )
        .with_context(|| heard.body.to_string())?;
    let about = &heard.body["serviceReferences"][0];
    ensure!(
        about["serInstanceId"] == id && about["changeType"] == kind,
        "{kind} of {id} was expected: {}",
        heard.body
    );
    Ok(heard.at)
}

/// Times from changes to their notifications, sorted.
fn delays(bench: &Bench, listener: &Listener, id: &str) -> anyhow::Result<Vec<Duration>> {
    let mut delays = Vec::new();
    for number in 0..CHANGES {
        let begun = change(bench, id, &format!("1.1.{number}"))?;
        let heard = expect(bench, listener, id, "ATTRIBUTES_CHANGED")?;
        delays.push(heard.saturating_duration_since(begun));
    }
    delays.sort();
    Ok(delays)
}

/// Half of the changes keep the promise even while other work takes the cores.
fn kept(what: &str, delays: &[Duration]) -> anyhow::Result<()> {
    let at = |part: usize| delays.get(delays.len() * part / 100).copied();
    let (half, most) = (at(50).context("nothing")?, at(98).context("nothing")?);
    println!("{what}: from the change to its callback p50 {half:?}, p98 {most:?}");
    ensure!(half <= PROMISE, "{what}: {half:?} is more than {PROMISE:?}");
    Ok(())
}

#[test]
fn a_change_reaches_its_callback_in_time() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let listener = Listener::start()?;
    let subscription = subscribe(&bench, &listener.uri)?;
    let id = bench.service()?;
    expect(&bench, &listener, &id, "ADDED")?;
    kept("one subscriber", &delays(&bench, &listener, &id)?)?;
    let mut asleep = service();
    asleep["version"] = json!(format!("1.1.{}", CHANGES - 1));
    asleep["state"] = json!("INACTIVE");
    let call = bench.call([&bench.one.id, &id]).json(&asleep);
    bench.done("mec011-service-management/replaceService", &call, 200)?;
    expect(&bench, &listener, &id, "STATE_CHANGED")?;
    let call = bench.call([&bench.one.id, &id]);
    bench.done("mec011-service-management/deleteService", &call, 204)?;
    expect(&bench, &listener, &id, "REMOVED")?;
    // Who has had enough hears no more: what another hears has been sent to everybody.
    let call = bench.call([&bench.two.id, &subscription]);
    bench.done("mec011-service-management/deleteSubscription", &call, 204)?;
    let other = Listener::start()?;
    subscribe(&bench, &other.uri)?;
    expect(&bench, &other, &bench.service()?, "ADDED")?;
    let late = listener.rest();
    ensure!(late.is_empty(), "heard after the end: {late:?}");
    bench.lab.node.stop()
}

#[test]
fn a_dead_callback_holds_up_nobody_and_costs_no_memory() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let mut held = Vec::new();
    for _ in 0..4 {
        subscribe(&bench, &refusing()?)?;
        let (listener, uri) = hanging()?;
        subscribe(&bench, &uri)?;
        held.push(listener);
    }
    let listener = Listener::start()?;
    subscribe(&bench, &listener.uri)?;
    let id = bench.service()?;
    expect(&bench, &listener, &id, "ADDED")?;
    kept("among dead callbacks", &delays(&bench, &listener, &id)?)?;
    let before = memory_kib(&bench)?;
    let count = if lab::full() { UNHEARD.1 } else { UNHEARD.0 };
    for number in 0..count {
        change(&bench, &id, &format!("2.0.{number}"))?;
        expect(&bench, &listener, &id, "ATTRIBUTES_CHANGED")?;
    }
    let grown = memory_kib(&bench)?.saturating_sub(before);
    println!("{count} changes that dead callbacks missed: {grown} KiB more");
    ensure!(grown <= GROWTH_KIB, "edged grew by {grown} KiB");
    bench.lab.node.stop()
}

/// Resident memory of edged (proc(5), `VmRSS`).
fn memory_kib(bench: &Bench) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/status", bench.lab.node.pid("edged")?);
    let status = std::fs::read_to_string(&path).with_context(|| path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}

#[test]
fn subscriptions_outlive_edged() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let listener = Listener::start()?;
    let subscription = subscribe(&bench, &listener.uri)?;
    let id = bench.service()?;
    expect(&bench, &listener, &id, "ADDED")?;
    let read = |bench: &Bench| -> anyhow::Result<Value> {
        let call = bench.call([&bench.two.id, &subscription]);
        bench
            .done("mec011-service-management/readSubscription", &call, 200)?
            .json()
    };
    let before = read(&bench)?;
    bench.lab.node.kill("edged")?;
    let after = until(lab::SOON, || read(&bench).map(Some))?;
    ensure!(before == after, "{before} became {after}");
    change(&bench, &id, "1.2.0")?;
    // A new edged may tell again of what it finds; then comes what is new.
    until(lab::SOON, || {
        let heard = listener.next()?.body;
        let about = &heard["serviceReferences"][0];
        let is_new =
            about["serInstanceId"] == id.as_str() && about["changeType"] == "ATTRIBUTES_CHANGED";
        Ok(is_new.then_some(()))
    })?;
    bench.lab.node.stop()
}
