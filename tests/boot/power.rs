//! A box whose power fails at the worst moments of its first day.

use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::until;
use board_qemu::tamper::tear_last_label;
use board_qemu::{BOOT, Changes, Folder, Guest, HOST_KEY, Heard, READY};

use crate::good::boot;
use crate::{commission, outside};
use umec_tests::ground::Ground;

/// What the box says of its data on its first start, and on every other (edged/init).
const FORMATTED: &str = "DATA-FORMATTED";
const OPENED: &str = "DATA-READY";
/// Until every part of a box works after it serves: edged tries a broker that is late anew after 30 s at most.
const SETTLED: Duration = Duration::from_secs(90);

/// No settling: what the box's kernel still holds back is lost, and the box must do without it. Two new boxes, as much
/// is written in the first seconds and never again: one loses its power as soon as its keys are made, one as soon as it
/// serves, and once more as soon as it is somebody's.
pub fn a_new_box_that_loses_its_power_as_soon_as_it_is_ready_starts_again_and_is_commissioned(
    ground: &Ground,
) -> anyhow::Result<()> {
    let folder = cut_at(ground, HOST_KEY)?;
    start(ground, &folder)?;
    let folder = cut_at(ground, READY)?;
    // Power that goes a little earlier leaves its last label half written; what it keeps from here on it keeps.
    tear_last_label(&folder.disk())?;
    let guest = start(ground, &folder)?;
    commission::the_box_is_commissioned_with_openssh(&guest, ground, &mut None)?;
    guest.machine.cut()?;
    let guest = start(ground, &folder)?;
    commission::a_commissioned_box_refuses_the_commissioning_key(&guest, ground)?;
    // edged serves although a part is late: it says so meanwhile.
    until(SETTLED, || {
        commission::the_status_of_the_box_says_what_it_is(&guest).map(Some)
    })?;
    let line = guest
        .line()?
        .context("the operator's key does not open the box")?;
    outside::the_box_answers_over_https(&line)?;
    outside::the_box_answers_over_mqtt(&line)
}

/// A new box whose power was cut on its first start, at the moment of these words.
fn cut_at(ground: &Ground, words: &str) -> anyhow::Result<Folder> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    let guest = Guest::start(&ground.root, &folder, &Changes::default())?;
    let mut formatted = false;
    let heard = guest.machine.console.wait(BOOT, &|| false, |line| {
        formatted |= line.text.contains(FORMATTED);
        line.text.contains(words).then_some(())
    });
    guest.machine.cut()?;
    ensure!(
        matches!(heard, Heard::Line(())) && formatted,
        "a first start did not come as far as `{words}`: {heard:?}"
    );
    Ok(folder)
}

/// Every later start: the data opens, and the box serves.
fn start<'a>(ground: &Ground, folder: &'a Folder) -> anyhow::Result<Guest<'a>> {
    let guest = boot(ground, folder, &Changes::default())?;
    let lines = guest.machine.console.lines();
    let opened = lines.iter().any(|line| line.text.contains(OPENED));
    ensure!(opened, "the box is ready and did not open its data");
    Ok(guest)
}
