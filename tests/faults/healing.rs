//! The other processes end; applications go on, and what could not be seen is said to be unknown.

use anyhow::{Context, ensure};
use board::client::{signal, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use umec_tests::lab::{Lab, SOON};

use crate::facets::{EVERY_FACET, publish_as, rules, text, wait_state, web, whole};

#[test]
fn ends_behind_a_killed_worker_are_unknown_and_nothing_else_is_disturbed() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    let names = ["one", "two", "three"];
    for name in names {
        let options = [&EVERY_FACET[..], &["--restart", "never"]].concat();
        lab.run(name, &options, &image)?;
    }
    let inits = |names: &[&str]| -> anyhow::Result<Vec<u64>> {
        names.iter().map(|name| lab.init_of(name)).collect()
    };
    let before = inits(&names)?;
    // One that ends while no worker is there, one that ends under the new one, one that goes on.
    let worker = lab.node.pid("worker")?;
    signal(worker, Signal::STOP)?;
    signal(i32::try_from(lab.init_of("one")?)?, Signal::KILL)?;
    lab.node.kill("worker")?;
    let one = wait_state(&lab, "one", "ended")?;
    ensure!(one.get("lastExit") == Some(&json!("unknown")), "{one}");
    lab.wait_ready("two")?;
    ensure!(inits(&["two", "three"])? == before[1..], "started again");
    signal(i32::try_from(lab.init_of("two")?)?, Signal::KILL)?;
    let two = wait_state(&lab, "two", "ended")?;
    ensure!(two.get("lastExit") == Some(&json!("unknown")), "{two}");
    ensure!(lab.node.dig(&Lab::host_name("two"), "A")?.is_empty());
    whole(&lab, "three")?;
    ensure!(inits(&["three"])? == before[2..], "started again");
    // An operator starts what has ended, and the code of an end that was seen is known.
    lab.node.verb(&["start", "two"])?;
    whole(&lab, "two")?;
    signal(i32::try_from(lab.init_of("two")?)?, Signal::KILL)?;
    let two = wait_state(&lab, "two", "ended")?;
    ensure!(two.get("lastExit") == Some(&json!({"signal": 9})), "{two}");
    Ok(())
}

#[test]
fn a_killed_guardian_takes_neither_links_nor_rules_along() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    lab.run("web", &EVERY_FACET, &image)?;
    let (before, init) = (rules(&lab)?, lab.init_of("web")?);
    for _ in 0..3 {
        lab.node.kill("guardian")?;
        ensure!(lab.get("web", 8080, "/")? == "busybox speaking\n");
    }
    until(SOON, || lab.node.verb(&["status"]).map(Some))?;
    ensure!(rules(&lab)? == before, "other rules: {}", rules(&lab)?);
    whole(&lab, "web")?;
    ensure!(lab.init_of("web")? == init, "started again");
    lab.run("new", &EVERY_FACET, &image)?;
    whole(&lab, "new")
}

#[test]
fn accounts_outlive_the_broker_and_are_granted_again_when_it_forgot_them() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    let file = lab.node.line.dir.join("broker/dynamic-security.json");
    let without = std::fs::read_to_string(&file)?;
    lab.run("web", &EVERY_FACET, &image)?;
    publish_as(&lab, "web")?;
    let init = lab.init_of("web")?;
    lab.node.kill("broker")?;
    until(SOON, || publish_as(&lab, "web").map(Some)).context("the account is lost")?;
    // Its file as it was before the application, as of an old backup; and as a kill during its writing leaves it.
    for left in [without.as_str(), ""] {
        let broker = lab.node.pid("broker")?;
        signal(broker, Signal::STOP)?;
        std::fs::write(&file, left)?;
        lab.node.kill("broker")?;
        until(SOON, || publish_as(&lab, "web").map(Some))
            .with_context(|| format!("not granted again after {left:?}"))?;
    }
    whole(&lab, "web")?;
    ensure!(lab.init_of("web")? == init, "started again");
    Ok(())
}

#[test]
fn a_stop_goes_on_when_edged_or_the_worker_ends_during_its_grace() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let stubborn = lab.image("stubborn", |layout| {
        let script = "trap '' TERM; while :; do sleep 1; done";
        umec_tests::images::busybox(layout, script)
    })?;
    for killed in ["edged", "worker"] {
        lab.run(
            killed,
            &["--stop-timeout", "2", "--restart", "never"],
            &stubborn,
        )?;
        let mut stop = lab.node.edgectl(&["stop", killed]).spawn()?;
        until(SOON, || {
            Ok((text(&lab, killed, "state")? == "stopping").then_some(()))
        })?;
        lab.node.kill(killed)?;
        let stopped = wait_state(&lab, killed, "stopped");
        let _ = stop.wait();
        let shown = stopped.with_context(|| format!("{killed} ended during the grace"))?;
        ensure!(
            shown.get("pid").and_then(Value::as_u64).is_none(),
            "{shown}"
        );
        lab.node.verb(&["start", killed])?;
        lab.wait_ready(killed)?;
        lab.node.verb(&["rm", "--force", killed])?;
    }
    Ok(())
}
