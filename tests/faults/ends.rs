//! How applications end and begin again: policies, probes, limits, dependencies.

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::{Value, json};
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::facets::{wait_state, web};

fn number(shown: &Value, key: &str) -> u64 {
    shown.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[test]
fn what_ends_is_started_again_as_its_policy_says() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("code", |layout| images::busybox(layout, "exit 3"))?;
    for (name, policy, script, code) in [
        ("never", "never", "exit 3", 3),
        ("well", "on-failure", "exit 0", 0),
    ] {
        lab.run(
            name,
            &[
                "--detach",
                "--restart",
                policy,
                "--entrypoint",
                &format!("/bin/sh -c '{script}'"),
            ],
            &image,
        )?;
        let shown = wait_state(&lab, name, "ended")?;
        ensure!(
            shown.get("lastExit") == Some(&json!({ "code": code })),
            "{shown}"
        );
        ensure!(number(&shown, "restarts") == 0, "{shown}");
        // An operator may start it once more, whatever the policy says.
        lab.node.verb(&["start", name])?;
        wait_state(&lab, name, "ended")?;
    }
    lab.run("failing", &["--detach", "--restart", "on-failure"], &image)?;
    // Pauses grow: the fourth is longer than any first.
    let shown = until(SOON, || {
        let shown = lab.inspect("failing")?;
        Ok((number(&shown, "retry_ms") > 600).then_some(shown))
    })
    .context("the pauses do not grow")?;
    ensure!(number(&shown, "restarts") >= 2, "{shown}");
    ensure!(
        shown.to_string().contains("its container ended (code 3)"),
        "{shown}"
    );
    // In the pause it can be taken away at once.
    lab.node.verb(&["rm", "failing"])?;
    ensure!(lab.inspect("failing").is_err(), "still there");
    Ok(())
}

#[test]
fn too_much_memory_is_told_as_out_of_memory() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("eater", |layout| {
        images::busybox(layout, "exec tail /dev/zero")
    })?;
    lab.run(
        "eater",
        &["--detach", "--restart", "never", "--memory", "16m"],
        &image,
    )?;
    let shown = wait_state(&lab, "eater", "ended")?;
    ensure!(
        shown.get("lastExit") == Some(&json!("out-of-memory")),
        "{shown}"
    );
    let listed = lab.node.verb(&["ps"])?;
    ensure!(listed.contains("out of memory"), "{listed}");
    Ok(())
}

#[test]
fn a_name_is_there_exactly_while_the_readiness_probe_says_yes() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("tmp", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /tmp")
    })?;
    lab.run("app", &["--detach", "--health-http", "8080/ready"], &image)?;
    wait_state(&lab, "app", "unready")?;
    ensure!(lab.address("app").is_err(), "named before it is ready");
    let init = lab.init_of("app")?;
    for _ in 0..2 {
        lab.node.verb(&["exec", "app", "touch", "/tmp/ready"])?;
        until(SOON, || lab.address("app").map(Some)).context("ready, and not named")?;
        wait_state(&lab, "app", "ready")?;
        lab.node.verb(&["exec", "app", "rm", "/tmp/ready"])?;
        until(SOON, || Ok(lab.address("app").is_err().then_some(())))
            .context("unready, and named")?;
        wait_state(&lab, "app", "unready")?;
    }
    ensure!(
        lab.init_of("app")? == init,
        "an unready application is not started again"
    );
    Ok(())
}

#[test]
fn a_liveness_probe_starts_again_and_leaves_no_process_behind() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    lab.run(
        "app",
        &[
            "--stop-timeout",
            "0",
            "--live-cmd",
            "sh -c 'test ! -e /tmp/dead'",
        ],
        &image,
    )?;
    let init = lab.init_of("app")?;
    lab.node.verb(&["exec", "app", "touch", "/tmp/dead"])?;
    until(SOON, || {
        Ok((number(&lab.inspect("app")?, "restarts") == 1).then_some(()))
    })
    .context("not started again")?;
    lab.wait_ready("app")?;
    ensure!(lab.init_of("app")? != init, "the same process");
    ensure!(lab.get("app", 8080, "/")? == "busybox speaking\n");
    // A probe that never ends is ended: one more process at any time, not one more each time.
    lab.run("slow", &["--detach", "--health-cmd", "sleep 600"], &image)?;
    wait_state(&lab, "slow", "unready")?;
    let mut most = 0;
    let asked = std::time::Instant::now();
    until(SOON, || {
        let shown = lab.node.verb(&["exec", "slow", "ps"])?;
        most = most.max(shown.matches("sleep 600").count());
        Ok((asked.elapsed().as_secs() >= 8).then_some(()))
    })?;
    ensure!((1..=2).contains(&most), "{most} probes at once");
    Ok(())
}

#[test]
fn whoever_depends_on_another_waits_until_that_is_ready() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    // Several, since the order in which they are looked at is their random ids'.
    let dependents = ["a", "b", "c", "d"];
    for name in dependents {
        lab.run(name, &["--detach", "--depends-on", "base"], &image)?;
        let shown = wait_state(&lab, name, "waiting")?;
        ensure!(shown.get("on") == Some(&json!("base")), "{shown}");
    }
    lab.run("base", &["--health-http", "8080/"], &image)?;
    for name in dependents {
        lab.wait_ready(name)?;
    }
    // Those that run go on when it goes.
    let init = lab.init_of("a")?;
    lab.node.verb(&["rm", "--force", "base"])?;
    ensure!(lab.init_of("a")? == init, "started again");
    Ok(())
}
