//! From the start of edged, and from its sudden end, to ready.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;

use super::peers::Containerd;
use super::report::{Measure, Row, rows};
use super::sample::{Contender, Samples, by_turns, milliseconds};
use super::scratch::Scratch;
use super::{Means, http};
use crate::client::{Node, signal};

/// Each costs a few tenths of a second.
const ROUNDS: u32 = 20;
/// Pause between two looks at the file that says which process it is.
const LOOK: Duration = Duration::from_micros(200);
/// Longest wait for another process.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("start")?;
    let node = Node::start(&means.programs, |command| {
        command.arg("--plain-http");
    })?;
    let address: SocketAddr = node
        .line
        .http
        .as_deref()
        .and_then(|text| text.strip_prefix("http://"))
        .context("the node serves no plain HTTP")?
        .parse()?;
    let mut killed = Vec::new();
    let mut ours = || {
        let times = again(&node, address)?;
        killed.push(milliseconds(times.killed_to_ready));
        Ok(milliseconds(times.started_to_ready))
    };
    let mut number = 0;
    let contenders = vec![
        Contender::new("edged, exec to /readyz 200", &mut ours),
        Contender::new("containerd, exec to its socket", || {
            number += 1;
            let folder = scratch.folder(&format!("containerd-{number}"))?;
            let begun = Instant::now();
            let peer = Containerd::start(&folder)?;
            let took = begun.elapsed();
            drop(peer);
            Ok(milliseconds(took))
        }),
    ];
    let mut rows = rows("ms", by_turns(means.rounds(ROUNDS), contenders));
    let killed: Samples = killed.into_iter().skip(1).collect();
    rows.push(Row::of("edged, kill -9 to /readyz 200", "ms", &killed));
    node.stop()?;
    Ok(Measure {
        work: "start of edged to ready, worker and guardian running, no application".to_owned(),
        aim: "30 ms, and 100 ms after kill -9".to_owned(),
        rows,
        notes: vec![
            "Ready means: the parts that edged needs answer and nothing is left to do; containerd is ready when its socket takes a connection.".to_owned(),
            "kill -9 to ready includes the pause of 100 ms before a restart that cargo board host makes, as systemd does by default.".to_owned(),
        ],
    })
}

struct Times {
    started_to_ready: Duration,
    killed_to_ready: Duration,
}

fn again(node: &Node, address: SocketAddr) -> anyhow::Result<Times> {
    let path = node.line.dir.join("pid/edged");
    let pid = node.pid("edged")?;
    let killed = Instant::now();
    signal(pid, Signal::KILL)?;
    // The file is written right after the fork.
    let started = loop {
        let now = Instant::now();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.trim().parse().is_ok_and(|other: i32| other != pid) {
            break now;
        }
        anyhow::ensure!(now < killed + PATIENCE, "edged was not started again");
        std::thread::sleep(LOOK);
    };
    let ready = http::until_ok(address, "/readyz")?;
    Ok(Times {
        started_to_ready: ready - started,
        killed_to_ready: ready - killed,
    })
}
