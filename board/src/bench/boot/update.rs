//! An update of a box, from its bundle to its confirmation, and the way back.

use std::time::{Duration, Instant};

use anyhow::Context;
use board_forge::{Cache, DebianRoot, tools};
use board_image::{Board, Request};
use board_node::network;
use board_qemu::{Door, Folder, Guest, Parts};
use serde_json::Value;

use super::ours::{Deployed, start};
use super::{LONGEST, aside, page};
use crate::bench::Means;
use crate::bench::report::{Measure, Row};
use crate::bench::sample::Samples;
use crate::bench::scratch::Scratch;
use crate::client::until;
use crate::update::make;

/// Each costs two minutes.
const ROUNDS: u32 = 5;
/// The number of the new image.
const NEW: u64 = 2;
/// What the firmware says when the trial begins.
const TRIAL: &str = "Booting: B";

/// Seconds that parts of an update took.
#[derive(Debug, Default)]
struct Figures {
    written: Samples,
    trial: Samples,
    confirmed: Samples,
    back: Samples,
}

/// How long an update takes, and the way back.
pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    aside(|| enclosed(means))
}

fn enclosed(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("update")?;
    let cache = Cache::open()?;
    let root = tools(&cache)?;
    let archive = page::archive(&cache, &scratch)?;
    let parts = Parts::build(&cache)?;
    let bundle = scratch.path().join("new.update");
    let request = Request {
        number: NEW,
        ..Request::development(Board::QemuAarch64)
    };
    let manifest = make(&cache, &request, &bundle)?;
    // What the box says stays on this machine.
    network::enclose()?;
    let ours = Deployed::make(&root, parts, &archive)?;
    let rounds = means.rounds(ROUNDS);
    let mut figures = Figures::default();
    for round in 1..=rounds {
        eprintln!("board: update {round} of {rounds}");
        let (copy, changes) = ours.copy()?;
        let (guest, _) = start(&root, &copy, &changes)?;
        page::wait(ours.here, LONGEST)?;
        forward(&guest, &bundle, &mut figures)?;
        guest.machine.cut()?;
        drop(copy);
        back(&root, &ours, &bundle, &mut figures)?;
    }
    let size = super::megabytes(manifest.size())?;
    Ok(Measure {
        work: format!("update of a box by a bundle of {size:.1} MB, emulated, one application"),
        aim: "none yet".to_owned(),
        rows: vec![
            Row::of("to written: sent by SSH, verified twice, in slot B, read back", "s", &figures.written),
            Row::of("to the trial's firmware", "s", &figures.trial),
            Row::of("to confirmed: both slots and the TPM's counter too", "s", &figures.confirmed),
            Row::of("back: from `update rollback` in the trial to the old release's answer", "s", &figures.back),
        ],
        notes: vec![
            "From the first byte of the bundle on; ten seconds of it are the time that a box has to do as well as before. Confirmed is asked for once a second.".to_owned(),
        ],
    })
}

fn forward(guest: &Guest, bundle: &std::path::Path, figures: &mut Figures) -> anyhow::Result<()> {
    let door = guest.door()?;
    let begun = Instant::now();
    door.told(&["update", "install"], Some(bundle))?;
    figures.written.add(begun.elapsed().as_secs_f64());
    tried(guest)?;
    figures.trial.add(begun.elapsed().as_secs_f64());
    until(LONGEST, || {
        Ok((last(&door).as_deref() == Some("confirmed")).then_some(()))
    })
    .context("the update is not confirmed")?;
    figures.confirmed.add(begun.elapsed().as_secs_f64());
    Ok(())
}

fn back(
    root: &DebianRoot,
    ours: &Deployed,
    bundle: &std::path::Path,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (copy, changes): (Folder, _) = ours.copy()?;
    let (guest, _) = start(root, &copy, &changes)?;
    page::wait(ours.here, LONGEST)?;
    let door = guest.door()?;
    door.told(&["update", "install"], Some(bundle))?;
    tried(&guest)?;
    // As soon as somebody answers in the trial.
    let begun = until(LONGEST, || {
        let asked = Instant::now();
        let answer = door.say(&["update", "rollback"], None)?;
        Ok(answer.status.success().then_some(asked))
    })?;
    until(LONGEST, || {
        Ok((last(&door).as_deref() == Some("rolled-back")).then_some(()))
    })
    .context("the update is not rolled back")?;
    figures.back.add(begun.elapsed().as_secs_f64());
    guest.machine.cut()
}

fn tried(guest: &Guest) -> anyhow::Result<()> {
    until(LONGEST, || {
        let lines = guest.machine.console.lines();
        let said = lines.iter().any(|line| line.text.contains(TRIAL));
        Ok(said.then_some(()))
    })
    .context("the new image is not tried")
}

/// How the last update ended, where somebody answers and none is under way.
fn last(door: &Door) -> Option<String> {
    // Between two looks, so that asking is not what is measured.
    std::thread::sleep(Duration::from_secs(1));
    let status = door.update_status().ok()?;
    let idle = status.get("state").and_then(Value::as_str) == Some("idle");
    let outcome = status.pointer("/last/outcome").and_then(Value::as_str);
    outcome.filter(|_| idle).map(str::to_owned)
}
