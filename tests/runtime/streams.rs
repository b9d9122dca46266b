//! Commands inside, with more output or input than anybody wants to keep.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use umec_tests::images;
use umec_tests::lab::Lab;

/// More than every buffer on the way holds: the worker's window is 3 MiB, SSH's 2 MiB.
const MUCH: usize = 8 << 20;

#[test]
fn a_reader_that_stands_still_holds_up_nobody_and_loses_nothing() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("idle", |layout| images::busybox(layout, "exec sleep 1000"))?;
    lab.run("idle", &[], &image)?;
    let command = format!("head -c {MUCH} /dev/zero");
    let mut slow = lab
        .node
        .edgectl(&["exec", "idle", "--", "sh", "-c", &command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = slow.stdout.take().context("no output")?;
    // Something came, so the rest is on its way; nobody reads it for now.
    output.read_exact(&mut [0])?;
    for _ in 0..5 {
        let begun = Instant::now();
        lab.node.verb(&["exec", "idle", "--", "true"])?;
        ensure!(
            begun.elapsed() < Duration::from_secs(5),
            "another exec waited for the slow one"
        );
    }
    let mut rest = Vec::new();
    output.read_to_end(&mut rest)?;
    ensure!(
        rest.len() == MUCH - 1,
        "{} of {MUCH} bytes came",
        rest.len() + 1
    );
    ensure!(slow.wait()?.success());
    lab.node.stop()
}

#[test]
fn input_waits_for_a_command_that_is_not_ready_for_it() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("idle", |layout| images::busybox(layout, "exec sleep 1000"))?;
    lab.run("idle", &["--writable"], &image)?;
    let mut command = lab
        .node
        .edgectl(&[
            "exec",
            "-i",
            "idle",
            "--",
            "sh",
            "-c",
            "while ! [ -e /tmp/go ]; do sleep 0.05; done; wc -c",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = command.stdin.take().context("no input")?;
    let writer = std::thread::spawn(move || input.write_all(&vec![7; MUCH]));
    lab.node.verb(&["exec", "idle", "--", "touch", "/tmp/go"])?;
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let output = command.wait_with_output()?;
    let counted = String::from_utf8(output.stdout)?;
    ensure!(counted.trim() == MUCH.to_string(), "counted {counted}");
    lab.node.stop()
}
