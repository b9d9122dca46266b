//! Wishes that cross each other.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use board::client::until;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::facets::{text, wait_state, web};

/// Longest time in which somebody who waits learns that it is over; `run` alone would wait for a minute.
const AT_ONCE: Duration = Duration::from_secs(15);

#[test]
fn whoever_waits_for_an_application_learns_that_it_was_removed() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    let began = Instant::now();
    let waiting = lab
        .node
        .edgectl(&[
            "run",
            "--name",
            "app",
            "--health-http",
            "8080/missing",
            &image,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_state(&lab, "app", "unready")?;
    lab.node.verb(&["rm", "--force", "app"])?;
    let answer = waiting.wait_with_output()?;
    let told = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(!answer.status.success(), "run succeeded");
    ensure!(told.contains("removed"), "{told}");
    ensure!(began.elapsed() < AT_ONCE, "after {:?}", began.elapsed());
    Ok(())
}

#[test]
fn of_two_runs_of_one_name_one_is_refused() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    let both: Vec<_> = (0..2)
        .map(|_| {
            lab.node
                .edgectl(&["run", "--name", "app", "--health-http", "8080/", &image])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    let answers: Vec<_> = both
        .into_iter()
        .map(std::process::Child::wait_with_output)
        .collect::<Result<_, _>>()?;
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| !answer.status.success())
        .collect();
    ensure!(refused.len() == 1, "{answers:?}");
    let told = String::from_utf8_lossy(&refused[0].stderr).into_owned();
    ensure!(told.contains("an application named app exists"), "{told}");
    lab.wait_ready("app")
}

#[test]
fn a_start_during_a_stop_starts_again_and_a_removal_cannot_be_undone() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let stubborn = lab.image("stubborn", |layout| {
        images::busybox(layout, "trap '' TERM; while :; do sleep 1; done")
    })?;
    lab.run(
        "app",
        &["--restart", "never", "--stop-timeout", "2"],
        &stubborn,
    )?;
    let init = lab.init_of("app")?;
    let mut stop = lab.node.edgectl(&["stop", "app"]).spawn()?;
    until(SOON, || {
        Ok((text(&lab, "app", "state")? == "stopping").then_some(()))
    })?;
    lab.node.verb(&["start", "app"])?;
    until(SOON, || Ok((lab.init_of("app")? != init).then_some(()))).context("not started again")?;
    lab.wait_ready("app")?;
    let _ = stop.kill();
    let _ = stop.wait();
    let mut remove = lab.node.edgectl(&["rm", "--force", "app"]).spawn()?;
    until(SOON, || {
        // One that is gone already has been removed as well.
        let state = text(&lab, "app", "state");
        Ok(state
            .map_or(true, |state| state == "stopping")
            .then_some(()))
    })?;
    let refused = lab
        .node
        .verb(&["start", "app"])
        .map(drop)
        .unwrap_err()
        .to_string();
    // A removal that was quicker than the question is over, and says so.
    let answers = ["app is being removed", "there is no application named app"];
    ensure!(
        answers.iter().any(|answer| refused.contains(answer)),
        "{refused}"
    );
    ensure!(remove.wait()?.success(), "not removed");
    ensure!(lab.inspect("app").is_err(), "still there");
    Ok(())
}

#[test]
fn an_image_that_was_removed_and_fetched_again_runs_again() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    for _ in 0..2 {
        lab.run("app", &["--health-http", "8080/"], &image)?;
        lab.node.verb(&["rm", "--force", "app"])?;
        lab.node.verb(&["rmi", &image])?;
    }
    Ok(())
}

#[test]
fn an_application_that_would_wait_for_itself_is_refused() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    lab.node.verb(&[
        "run",
        "--detach",
        "--name",
        "a",
        "--depends-on",
        "b",
        &image,
    ])?;
    let answer = lab
        .node
        .edgectl(&[
            "run",
            "--detach",
            "--name",
            "b",
            "--depends-on",
            "a",
            &image,
        ])
        .output()?;
    let told = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(!answer.status.success(), "the circle was accepted");
    ensure!(told.contains("would wait for itself through a"), "{told}");
    lab.run("b", &["--health-http", "8080/"], &image)?;
    lab.wait_ready("a")
}

#[test]
fn a_forced_removal_does_not_wait_for_a_program_that_ignores_it() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("deaf", |layout| {
        images::busybox(layout, "trap '' TERM; while :; do sleep 1; done")
    })?;
    lab.run("deaf", &[], &image)?;
    let began = Instant::now();
    lab.node.verb(&["rm", "--force", "deaf"])?;
    // Its own grace is ten seconds.
    ensure!(
        began.elapsed() < Duration::from_secs(8),
        "after {:?}",
        began.elapsed()
    );
    Ok(())
}
