//! What a machine writes to its disk while nobody asks it for anything: a box of ours and the peer, side by side.

use std::time::{Duration, Instant};

use anyhow::Context;
use board_forge::{Cache, tools};
use board_node::network;
use board_qemu::{Monitor, Parts, Written};

use super::debian::Debian;
use super::ours::Deployed;
use super::{aside, page, reason};
use crate::bench::Means;
use crate::bench::report::{Measure, Row};
use crate::bench::scratch::Scratch;

/// How long machines settle after their page: caches are written back after 30 s (`vm.dirty_expire_centisecs`), what a first
/// start has to tidy comes within a minute.
const SETTLE: Duration = Duration::from_secs(120);
/// Minutes that are looked at: the journal of a file system is committed every 5 s, timers of a Debian run hourly or daily.
const MINUTES: u32 = 10;
/// Minutes of a day.
const DAY: f64 = 1440.0;

/// What was written in the time.
#[derive(Debug, Clone, Copy)]
struct Idle {
    bytes: u64,
    writes: u64,
}

/// What both write at rest.
pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    aside(|| enclosed(means))
}

fn enclosed(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("flash")?;
    let cache = Cache::open()?;
    let root = tools(&cache)?;
    let archive = page::archive(&cache, &scratch)?;
    let peer = Debian::build(&cache, &root, &archive, &scratch).map_err(|error| reason(&error));
    let parts = Parts::build(&cache)?;
    // What the machines say stays on this one.
    network::enclose()?;
    let minutes = means.rounds(MINUTES);
    let time = Duration::from_secs(60) * minutes;
    eprintln!("board: two machines at rest for {minutes} minutes");
    let ours = Deployed::make(&root, parts, &archive)?;
    let (own, theirs) = std::thread::scope(|scope| {
        // In the same minutes; a thread begins in the network of who starts it.
        let own = scope.spawn(|| ours.rest(&root, |monitor| idle(monitor, time)));
        let theirs = peer.and_then(|debian| {
            let rested = debian.rest(&root, &scratch, |monitor| idle(monitor, time));
            rested.map_err(|error| reason(&error))
        });
        match own.join() {
            Ok(own) => (own, theirs),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let own = own?;
    let day = DAY / f64::from(minutes);
    let mut rows = rows("our box", own, day)?;
    match theirs {
        Ok(theirs) => rows.extend(self::rows("Debian with podman", theirs, day)?),
        Err(why) => rows.push(Row::missing("Debian with podman", "MB a day", &why)),
    }
    Ok(Measure {
        work: format!("written to the disk at rest, one application, {minutes} minutes"),
        aim: "nothing by us".to_owned(),
        rows,
        notes: vec![
            "As QEMU counts what its disk was given, from two minutes after the first page on; scaled to a day. Hourly and daily work is not in it.".to_owned(),
        ],
    })
}

fn idle(monitor: &mut Monitor, time: Duration) -> anyhow::Result<Idle> {
    // Lengths of time are what is measured here; there is no state to wait for.
    std::thread::sleep(SETTLE);
    let (from, begun) = (monitor.written()?, Instant::now());
    std::thread::sleep(time);
    let to = monitor.written()?;
    eprintln!("board: {from:?}, and after {:?} {to:?}", begun.elapsed());
    between(from, to).context("a disk cannot unwrite")
}

fn between(from: Written, to: Written) -> Option<Idle> {
    Some(Idle {
        bytes: to.bytes.checked_sub(from.bytes)?,
        writes: to.writes.checked_sub(from.writes)?,
    })
}

fn rows(name: &str, idle: Idle, day: f64) -> anyhow::Result<Vec<Row>> {
    let writes = f64::from(u32::try_from(idle.writes)?);
    let megabytes = super::megabytes(idle.bytes)?;
    Ok(vec![
        Row::single(format!("{name}: written"), "MB a day", megabytes * day),
        Row::single(format!("{name}: writes"), "a day", writes * day),
    ])
}
