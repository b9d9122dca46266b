//! A package vouches for its image as long as somebody vouches for the package.

use anyhow::ensure;
use serde_json::json;

use crate::orchestrator::{Orchestrator, WEB, instantiation};

#[test]
fn a_package_is_instantiated_as_long_as_its_signer_is_trusted() -> anyhow::Result<()> {
    let orchestrator = Orchestrator::start()?;
    let descriptor = orchestrator.onboard("page", WEB, "")?;
    let first = orchestrator.create(&descriptor, "first")?;
    orchestrator.done(&first, "instantiate", &instantiation())?;

    let certificate = orchestrator.certificate()?;
    let trust = |words: &[&str]| {
        orchestrator
            .node
            .verb(&[&["package", "trust"], words].concat())
    };
    trust(&["rm", "works"])?;
    let second = orchestrator.create(&descriptor, "second")?;
    let run = orchestrator.instantiate(&second)?;
    let shown = orchestrator.wait(&run, "FAILED_TEMP")?;
    let detail = shown["error"]["detail"].to_string();
    ensure!(detail.contains("the signer is not trusted"), "{shown}");
    ensure!(orchestrator.condition(&second)? == "NOT_INSTANTIATED");
    // What is there goes on, and is no new instance where it is stopped and started.
    for change in ["STOPPED", "STARTED"] {
        let body = json!({ "changeStateTo": change });
        orchestrator.done(&first, "operate", &body)?;
        ensure!(orchestrator.condition(&first)? == change);
    }

    // Whoever signed it counts, not what he is called here.
    trust(&["add", "again", &certificate.to_string_lossy()])?;
    let again = format!("{run}/retry");
    orchestrator.ask("POST", &again, None)?.expect(202)?;
    orchestrator.wait(&run, "COMPLETED")?;
    orchestrator.node.stop()
}
