//! Operations that do not come to a good end: cancelled, tried again, given up.

use anyhow::ensure;
use serde_json::json;

use crate::orchestrator::{Orchestrator, WEB, forceful, instantiation};

/// An application that is ready only when it says so, which this one never does.
const SILENT: &str = "confirm_ready = true";

#[test]
fn a_cancelled_instantiation_leaves_nothing_behind() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("silent", WEB, SILENT)?;
    let instance = orchestrator.create(&descriptor, "silent")?;
    for mode in ["FORCED", "GRACEFUL"] {
        let run = orchestrator.instantiate(&instance)?;
        orchestrator.wait(&run, "PROCESSING")?;
        let one_at_a_time = "wait for it or cancel it";
        for (task, body) in [("instantiate", instantiation()), ("terminate", forceful())] {
            let path = format!("{instance}/{task}");
            orchestrator.refused(("POST", &path), Some(&body), (409, one_at_a_time))?;
        }
        orchestrator.refused(("DELETE", &instance), None, (409, one_at_a_time))?;
        for task in ["retry", "fail"] {
            let path = format!("{run}/{task}");
            orchestrator.refused(("POST", &path), None, (409, "FAILED_TEMP"))?;
        }
        orchestrator.post(
            &format!("{run}/cancel"),
            &json!({ "cancelMode": mode }),
            202,
        )?;
        let shown = orchestrator.wait(&run, "FAILED_TEMP")?;
        let reason = shown["error"]["detail"].as_str().unwrap_or_default();
        ensure!(reason.contains("is undone"), "{shown}");
        ensure!(shown["isCancelPending"] == false, "{shown}");
        let left = orchestrator.node.verb(&["ps"])?;
        ensure!(!left.contains("silent-"), "{left}");
        let over = json!({ "cancelMode": mode });
        orchestrator.refused(
            ("POST", &format!("{run}/cancel")),
            Some(&over),
            (409, "PROCESSING"),
        )?;
        orchestrator.refused(("DELETE", &instance), None, (409, "mark it as failed"))?;
        let failed = orchestrator
            .ask("POST", &format!("{run}/fail"), None)?
            .expect(200)?;
        ensure!(failed.json()?["operationState"] == "FAILED");
        ensure!(orchestrator.condition(&instance)? == "NOT_INSTANTIATED");
    }
    orchestrator.ask("DELETE", &instance, None)?.expect(204)?;
    orchestrator.node.stop()
}

#[test]
fn what_failed_says_why_and_can_be_tried_again() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "publish = [\"18433:8080\"]")?;
    let first = orchestrator.create(&descriptor, "first")?;
    let second = orchestrator.create(&descriptor, "second")?;
    orchestrator.done(&first, "instantiate", &instantiation())?;
    // Both want one port of the box.
    let run = orchestrator.instantiate(&second)?;
    let shown = orchestrator.wait(&run, "FAILED_TEMP")?;
    let reason = shown["error"]["detail"].as_str().unwrap_or_default();
    ensure!(reason.contains("18433"), "{shown}");
    ensure!(orchestrator.condition(&second)? == "NOT_INSTANTIATED");
    orchestrator.done(&first, "terminate", &forceful())?;
    orchestrator
        .ask("POST", &format!("{run}/retry"), None)?
        .expect(202)?;
    orchestrator.wait(&run, "COMPLETED")?;
    ensure!(orchestrator.condition(&second)? == "STARTED");
    for task in ["retry", "fail"] {
        let path = format!("{run}/{task}");
        orchestrator.refused(("POST", &path), None, (409, "COMPLETED"))?;
    }
    orchestrator.node.stop()
}

#[test]
fn a_program_that_cannot_run_is_given_up() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("broken", WEB, "entrypoint = [\"/no/such/program\"]")?;
    let instance = orchestrator.create(&descriptor, "broken")?;
    let run = orchestrator.instantiate(&instance)?;
    let shown = orchestrator.wait(&run, "FAILED_TEMP")?;
    ensure!(shown["error"]["status"] == 409, "{shown}");
    orchestrator
        .ask("POST", &format!("{run}/retry"), None)?
        .expect(202)?;
    orchestrator.wait(&run, "FAILED_TEMP")?;
    orchestrator
        .ask("POST", &format!("{run}/fail"), None)?
        .expect(200)?;
    let gone = || Ok((!orchestrator.node.verb(&["ps"])?.contains("broken-")).then_some(()));
    board::client::until(crate::orchestrator::LATER, gone)?;
    orchestrator.ask("DELETE", &instance, None)?.expect(204)?;
    orchestrator.node.stop()
}
