//! Operations that a restart of edged interrupts.

use anyhow::ensure;
use board::client::{signal, until};
use rustix::process::Signal;
use serde_json::json;

use crate::callback::Listener;
use crate::orchestrator::{LATER, Orchestrator, WEB};

#[test]
fn an_operation_goes_on_after_a_restart() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("careful", WEB, "confirm_ready = true")?;
    let instance = orchestrator.create(&descriptor, "careful")?;
    let run = orchestrator.instantiate(&instance)?;
    orchestrator.wait(&run, "PROCESSING")?;
    orchestrator.node.kill("edged")?;
    let shown = until(LATER, || orchestrator.get(&run).map(Some))?;
    ensure!(shown["operationState"] == "PROCESSING", "{shown}");
    let id = instance.rsplit('/').next().unwrap_or_default();
    let word = format!("/mec_app_support/v1/applications/{id}/confirm_ready");
    let ready = json!({ "indication": "READY" });
    until(LATER, || {
        let answer = orchestrator.ask("POST", &word, Some(&ready))?;
        answer.expect(204).map(Some)
    })?;
    orchestrator.wait(&run, "COMPLETED")?;
    ensure!(orchestrator.condition(&instance)? == "STARTED");

    // It is told of its end, and says nothing: the run waits for the deadline.
    let listener = Listener::start()?;
    let subscription = json!({ "subscriptionType": "AppTerminationNotificationSubscription",
        "callbackReference": listener.uri, "appInstanceId": id });
    let path = format!("/mec_app_support/v1/applications/{id}/subscriptions");
    orchestrator.post(&path, &subscription, 201)?;
    let body = json!({ "terminationType": "GRACEFUL", "gracefulTerminationTimeout": 5 });
    let run = orchestrator.begin(&instance, "terminate", &body)?;
    listener.next()?;
    // This time it is told to end, and ends in good order.
    let old = orchestrator.node.pid("edged")?;
    signal(old, Signal::TERM)?;
    until(LATER, || {
        Ok((orchestrator.node.pid("edged")? != old).then_some(()))
    })?;
    until(LATER, || orchestrator.get(&run).map(Some))?;
    orchestrator.wait(&run, "COMPLETED")?;
    ensure!(orchestrator.condition(&instance)? == "NOT_INSTANTIATED");
    orchestrator.ask("DELETE", &instance, None)?.expect(204)?;
    orchestrator.node.stop()
}
