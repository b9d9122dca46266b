//! Graceful ends: with the application's word, and without it.

use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use crate::callback::Listener;
use crate::orchestrator::{Orchestrator, WEB, instantiation};

/// Seconds that an application has which says that it is done: far more than it needs.
const LONG: u64 = 60;
/// Seconds that one has which says nothing.
const SHORT: u64 = 3;

fn listen(orchestrator: &Orchestrator, instance: &str) -> anyhow::Result<(Listener, String)> {
    let listener = Listener::start()?;
    let id = instance.rsplit('/').next().unwrap_or_default();
    let application = format!("/mec_app_support/v1/applications/{id}");
    let body = json!({ "subscriptionType": "AppTerminationNotificationSubscription",
        "callbackReference": listener.uri, "appInstanceId": id });
    orchestrator.post(&format!("{application}/subscriptions"), &body, 201)?;
    Ok((listener, application))
}

#[test]
fn an_application_that_says_it_is_done_is_not_waited_for_any_longer() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "")?;
    let instance = orchestrator.create(&descriptor, "page")?;
    orchestrator.done(&instance, "instantiate", &instantiation())?;
    let (listener, application) = listen(&orchestrator, &instance)?;
    for (task, body, action, after) in [
        (
            "operate",
            json!({ "changeStateTo": "STOPPED", "stopType": "GRACEFUL", "gracefulStopTimeout": LONG }),
            "STOPPING",
            "STOPPED",
        ),
        (
            "terminate",
            json!({ "terminationType": "GRACEFUL", "gracefulTerminationTimeout": LONG }),
            "TERMINATING",
            "NOT_INSTANTIATED",
        ),
    ] {
        let begun = Instant::now();
        let run = orchestrator.begin(&instance, task, &body)?;
        let told = listener.next()?.body;
        ensure!(told["operationAction"] == action, "{told}");
        ensure!(
            told["maxGracefulTimeout"]
                .as_u64()
                .is_some_and(|s| s <= LONG),
            "{told}"
        );
        let waiting = orchestrator.get(&run)?;
        ensure!(waiting["operationState"] == "PROCESSING", "{waiting}");
        ensure!(
            orchestrator.condition(&instance)? == "STARTED",
            "it was not waited for"
        );
        let word = json!({ "operationAction": action });
        orchestrator.post(&format!("{application}/confirm_termination"), &word, 204)?;
        orchestrator.wait(&run, "COMPLETED")?;
        ensure!(begun.elapsed().as_secs() < LONG, "its word did not count");
        ensure!(orchestrator.condition(&instance)? == after);
        if task == "operate" {
            orchestrator.done(&instance, "operate", &json!({ "changeStateTo": "STARTED" }))?;
        }
    }
    orchestrator.node.stop()
}

#[test]
fn an_application_that_says_nothing_ends_with_its_time() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "")?;
    let instance = orchestrator.create(&descriptor, "page")?;
    orchestrator.done(&instance, "instantiate", &instantiation())?;
    let (listener, _) = listen(&orchestrator, &instance)?;
    let begun = Instant::now();
    let body = json!({ "terminationType": "GRACEFUL", "gracefulTerminationTimeout": SHORT });
    let run = orchestrator.begin(&instance, "terminate", &body)?;
    listener.next()?;
    orchestrator.wait(&run, "COMPLETED")?;
    let took = begun.elapsed().as_secs();
    ensure!((SHORT..LONG).contains(&took), "it took {took} s");
    ensure!(orchestrator.condition(&instance)? == "NOT_INSTANTIATED");
    orchestrator.node.stop()
}
