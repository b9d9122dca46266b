//! Boxes that are updated while their power goes: always the old release or the new one, whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::until;
use board::update::make;
use board_image::{Board, Request, build};
use board_qemu::tamper::images;
use board_qemu::{Folder, Guest};
use serde_json::Value;
use umec_tests::ground::{Ground, is_ready};

use crate::check;
use crate::cut::{Campaign, Moment, each, take_power};
use crate::draw::Draw;
use crate::ledger::text;

/// The releases of the two images.
const OLD: u64 = 1;
const NEW: u64 = 2;
/// From the first byte of a bundle to its confirmation, on a machine with two boxes: half of it is the box's start.
const UPDATE: Duration = Duration::from_secs(60);
/// What the firmware says as it starts the image on trial, and how long the trial takes from there.
const TRIAL: &[(&str, Duration)] = &[
    ("Booting: B", Duration::from_millis(300)),
    ("Booting: B", Duration::from_secs(30)),
];
/// Until an update that a cut left behind has ended: three trials, at most, and the last of them to its deadline.
const ENDED: Duration = Duration::from_secs(600);

/// The images of two releases, and the bundle of the second.
#[derive(Debug)]
pub struct Releases {
    bundle: PathBuf,
    images: [Vec<u8>; 2],
}

impl Releases {
    /// Builds the second release.
    pub fn build(ground: &Ground) -> anyhow::Result<Self> {
        let request = Request {
            number: NEW,
            ..Request::development(Board::QemuAarch64)
        };
        let bundle = ground.folder.path().join("release.update");
        make(&ground.cache, &request, &bundle)?;
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let new = read(&build(&ground.cache, &request)?.uki)?;
        Ok(Self {
            images: [read(&ground.parts.image.uki)?, new],
            bundle,
        })
    }
}

/// All cuts of the lane.
pub fn a_box_whose_update_meets_a_power_cut_is_the_old_one_or_the_new_one(
    ground: &Ground,
    releases: &Releases,
    campaign: &Campaign,
) -> anyhow::Result<()> {
    let base = Folder::open(Some(&ground.folder.path().join("old")))?;
    base.furnish(&ground.parts)?;
    let mut guest = check::start(ground, &base)?;
    guest.commission(&ground.parts.commissioning)?;
    let door = guest.door()?;
    ground.deploy(&door)?;
    door.told(&["poweroff"], None)?;
    until(ENDED, || Ok(guest.machine.is_off()?.then_some(())))?;
    drop(guest);
    each("update", &campaign.update, |number| {
        let folder = Folder::open(None)?;
        base.copy_to(&folder)?;
        one(
            ground,
            releases,
            &folder,
            &mut Draw::of(campaign.seed, "update", number),
        )
    })
}

fn one(
    ground: &Ground,
    releases: &Releases,
    folder: &Folder,
    draw: &mut Draw,
) -> anyhow::Result<String> {
    let moment = Moment::draw(draw, UPDATE, TRIAL);
    let guest = check::start(ground, folder)?;
    let door = guest.door()?;
    let taken = std::thread::scope(|scope| {
        let install = scope.spawn(|| door.say(&["update", "install"], Some(&releases.bundle)));
        let came = moment.wait(&guest);
        take_power(&guest, draw)?;
        ensure!(came, "the box never came to {moment}");
        Ok(install.join())
    })?;
    let taken = matches!(taken, Ok(Ok(answer)) if answer.status.success());
    guest.machine.cut()?;
    check::console_is_kept_where(folder, || again(ground, releases, folder, taken))
        .map(|place| format!("{place}: {moment}"))
        .with_context(|| format!("cut {moment}"))
}

/// Starts the box again, waits until its update has ended, and looks at what it has.
fn again(
    ground: &Ground,
    releases: &Releases,
    folder: &Folder,
    taken: bool,
) -> anyhow::Result<String> {
    let guest = check::start(ground, folder)?;
    let status = until(ENDED, || ended(&guest))?;
    let running = status.pointer("/running/release").and_then(Value::as_u64);
    let last = status.get("last");
    let outcome = last.map(|last| text(last, "outcome")).transpose()?;
    let (release, place) = match outcome {
        Some("confirmed") => (NEW, "confirmed".to_owned()),
        Some("rolled-back") => {
            let why = last.map(|last| text(last, "why")).transpose()?;
            let why = why.unwrap_or_default();
            (OLD, format!("rolled back, {why}"))
        }
        None if !taken => (OLD, "never begun".to_owned()),
        _ => anyhow::bail!("the box took the update, and says {status}"),
    };
    ensure!(
        running == Some(release),
        "release {release} was to run: {status}"
    );
    check::healthy(&guest)?;
    let door = guest.door()?;
    until(check::SETTLED, || is_ready(&door).map(Some))?;
    guest.machine.cut()?;
    let [a, b] = images(&ground.root, folder)?;
    let [old, new] = &releases.images;
    let started = if release == NEW { new } else { old };
    ensure!(a == *started, "A is not the image of release {release}");
    ensure!(
        b == *old || b == *new || release == OLD,
        "B is neither the old image nor the new one"
    );
    Ok(place)
}

/// How updates of the box stand, once none is under way.
fn ended(guest: &Guest) -> anyhow::Result<Option<Value>> {
    let status = guest.door()?.update_status()?;
    Ok((text(&status, "state")? == "idle").then_some(status))
}
