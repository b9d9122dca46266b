//! After the last `rm` and SIGTERM nothing is left; neither when applications were still running.

use std::collections::BTreeSet;

use anyhow::ensure;
use board::client::until;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};
use umec_tests::world::Eye;

/// Waits until nothing is there that was not: ends of processes and namespaces take the kernel a moment.
fn nothing_new(
    look: impl Fn() -> anyhow::Result<BTreeSet<String>>,
    before: &BTreeSet<String>,
) -> anyhow::Result<()> {
    until(SOON, || {
        let now = look()?;
        let left: Vec<_> = now.difference(before).collect();
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(Some(()))
    })
}

#[test]
fn removed_applications_and_an_ended_node_leave_nothing() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let folder = lab.node.line.dir.clone();
    let eye = Eye::new(&lab.node.line)?;
    let image = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    let empty = eye.look_at_applications()?;
    let shown = lab.node.verb(&["ps"])?;
    // One ends at once; the other's httpd, as process 1, ignores SIGTERM and has to be killed after its grace.
    for (name, signal) in [("one", "KILL"), ("two", "TERM")] {
        let options = [
            "--health-http",
            "8080/",
            "--mqtt-subscribe",
            "sensors/#",
            "--stop-signal",
            signal,
        ];
        lab.run(name, &options, &image)?;
        ensure!(lab.get(name, 8080, "/")? == "busybox speaking\n");
    }
    let running = eye.look_at_applications()?;
    for kind in ["link", "route", "cgroup", "process"] {
        let seen = |line: &String| line.starts_with(kind);
        let (before, now) = (
            empty.iter().filter(|line| seen(line)),
            running.iter().filter(|line| seen(line)),
        );
        ensure!(
            before.count() < now.count(),
            "this test is blind: no {kind} more with two applications"
        );
    }
    ensure!(
        accounts(&lab)?.contains("app-"),
        "this test is blind: no accounts"
    );
    for name in ["one", "two"] {
        lab.node.verb(&["rm", "--force", name])?;
        ensure!(lab.address(name).is_err(), "{name} still has a name");
    }
    nothing_new(|| eye.look_at_applications(), &empty)?;
    ensure!(
        !accounts(&lab)?.contains("app-"),
        "accounts on the broker: {}",
        accounts(&lab)?
    );
    ensure!(lab.node.verb(&["ps"])? == shown, "ps still shows something");
    // Once more with one running: the end of the node takes it along.
    lab.run("three", &["--health-http", "8080/"], &image)?;
    lab.node.stop()?;
    ensure!(!folder.exists(), "{} is still there", folder.display());
    nothing_new(|| eye.look(), &BTreeSet::new())
}

/// What the broker's plugin has written down.
fn accounts(lab: &Lab) -> anyhow::Result<String> {
    let path = lab.node.line.dir.join("broker/dynamic-security.json");
    Ok(std::fs::read_to_string(path)?)
}
