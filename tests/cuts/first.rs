//! New boxes, cut on their first start or while they become somebody's.

use std::time::Duration;

use anyhow::{Context, ensure};
use board_qemu::{Changes, Folder, Guest, HOST_KEY, Outcome, READY, is_refused_key};
use umec_tests::ground::Ground;

use crate::check;
use crate::cut::{Campaign, Moment, each, take_power};
use crate::draw::Draw;

/// From power-on to somebody's box: 9 s to readiness on an idle machine, and commissioning. Two lanes are slower.
const DAY: Duration = Duration::from_secs(16);
/// Where a first start writes what it will never write again, and how long each of it takes.
const AIMS: &[(&str, Duration)] = &[
    ("uMEC ", Duration::from_secs(3)),
    ("DATA-FORMATTED", Duration::from_millis(300)),
    (HOST_KEY, Duration::from_millis(500)),
    (READY, Duration::from_secs(3)),
];

/// All cuts of the lane.
pub fn a_new_box_survives_every_power_cut_of_its_first_day(
    ground: &Ground,
    campaign: &Campaign,
) -> anyhow::Result<()> {
    each("first day", &campaign.first, |number| {
        one(ground, &mut Draw::of(campaign.seed, "first", number))
    })
}

fn one(ground: &Ground, draw: &mut Draw) -> anyhow::Result<String> {
    let moment = Moment::draw(draw, DAY, AIMS);
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    let guest = Guest::start(&ground.root, &folder, &Changes::default())?;
    let acknowledged = std::thread::scope(|scope| {
        let commissioned = scope.spawn(|| commission(&guest, ground));
        ensure!(moment.wait(&guest), "the box never came to {moment}");
        take_power(&guest, draw)?;
        Ok(commissioned.join().is_ok_and(|answer| answer))
    })?;
    guest.machine.cut()?;
    check::console_is_kept_where(&folder, || {
        let guest = check::start(ground, &folder)?;
        let door = guest.door()?;
        let commissioned = guest.line()?.is_some();
        ensure!(
            commissioned || !acknowledged,
            "the box said that it is commissioned, and is not after the cut"
        );
        if !commissioned {
            guest.commission(&ground.parts.commissioning)?;
        }
        check::healthy(&guest)?;
        let stranger = door
            .with(&ground.parts.commissioning)
            .say(&["status"], None)?;
        ensure!(
            is_refused_key(&stranger),
            "the key of the image opens a commissioned box"
        );
        guest.machine.cut()?;
        let was = match (acknowledged, commissioned) {
            (true, _) => "after it was commissioned",
            (false, true) => "as it was commissioned",
            (false, false) => "before it was commissioned",
        };
        Ok(format!("{was}: {moment}"))
    })
    .with_context(|| format!("cut {moment}"))
}

/// Makes the box somebody's as soon as it serves. `false`: it did not say that it is.
fn commission(guest: &Guest, ground: &Ground) -> bool {
    matches!(guest.outcome(&|| false), Ok(Outcome::Ready))
        && guest.commission(&ground.parts.commissioning).is_ok()
}
