//! A box that is updated: by images that fail their trial each in its own way, then by one that is good.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::until;
use board::update::make;
use board_image::golden::Golden;
use board_image::measure::differences;
use board_image::{Board, Request, build};
use board_qemu::tamper::{images, put_image};
use board_qemu::{BOOT, Changes, Folder, Guest, Heard};
use serde_json::Value;

use crate::bundles;
use crate::full;
use crate::good::boot;
use crate::sources;
use crate::trust;
use umec_tests::case;
use umec_tests::ground::Ground;
use umec_tests::report::Report;

/// The release that the box begins with, the good one, and those that fail.
const OLD: u64 = 1;
const NEW: u64 = 2;
const BAD: u64 = 3;
/// Seconds that trials have: the good one's start is slow beside another box; whoever never becomes ready is waited for.
const GOOD_TRIAL: u64 = 180;
const BAD_TRIAL: u64 = 45;
/// The kernel finds no first program.
const PANICS: &str = "rdinit=/nothing";
/// The data opens, and nothing else starts.
const NEVER_READY: &str = "systemd.unit=umec-data.service";
/// systemd finds nothing to start and stands still. It would stop the watchdog first, if it found that; as it is, nobody
/// feeds what umec-init has started, which is what a hang is.
const HANGS: &str = "systemd.unit=nothing.target systemd.crash_action=freeze systemd.crash_reboot=no \
                     systemd.watchdog_device=/dev/nothing";
/// What the firmware says when it starts each slot.
const B: &str = "Booting: B";
const A: &str = "Booting: A";
/// What PID 1's guard says.
const GIVEN_UP: &str = "UMEC-TRIAL-ENDED: nobody has confirmed this image";
/// Until an update has ended: three trials, each with a start of the old image after it.
const ENDED: Duration = Duration::from_secs(600);

/// The bundles that the box is given, and the good one's image with what it foretells.
#[derive(Debug)]
pub struct Bundles {
    panics: PathBuf,
    never_ready: PathBuf,
    hangs: PathBuf,
    good: PathBuf,
    image: Vec<u8>,
    golden: Golden,
}

impl Bundles {
    /// Builds them.
    pub fn build(ground: &Ground) -> anyhow::Result<Self> {
        let bundle = |name: &str, request: &Request| {
            let path = ground.folder.path().join(name);
            make(&ground.cache, request, &path)?;
            anyhow::Ok(path)
        };
        let good = request(NEW, GOOD_TRIAL, "");
        let image = build(&ground.cache, &good)?;
        Ok(Self {
            panics: bundle("panics.update", &request(BAD, BAD_TRIAL, PANICS))?,
            never_ready: bundle("never-ready.update", &request(BAD, BAD_TRIAL, NEVER_READY))?,
            hangs: bundle("hangs.update", &request(BAD, GOOD_TRIAL, HANGS))?,
            good: bundle("good.update", &good)?,
            image: std::fs::read(&image.uki)?,
            golden: serde_json::from_slice(&std::fs::read(&image.golden)?)?,
        })
    }
}

/// Runs the lane.
pub fn run(report: &Report, ground: &Ground, bundles: &Bundles) {
    if let Err(error) = lane(report, ground, bundles) {
        report.broken("a_box_is_updated", &error);
    }
}

fn lane(report: &Report, ground: &Ground, bundles: &Bundles) -> anyhow::Result<()> {
    let folder = Folder::open(Some(&ground.folder.path().join("updated")))?;
    folder.furnish(&ground.parts)?;
    let guest = boot(ground, &folder, &sources::with_usb())?;
    guest.commission(&ground.parts.commissioning)?;
    case!(
        report,
        bundles::a_bad_bundle_is_refused_before_a_byte_reaches_a_slot(
            &guest,
            ground,
            &bundles.good
        )
    );
    case!(
        report,
        an_update_whose_kernel_panics_is_given_up_after_three_trials(&guest, bundles)
    );
    case!(
        report,
        an_update_whose_edged_never_starts_is_ended_by_its_guard(&guest, bundles)
    );
    case!(
        report,
        an_update_that_hangs_is_reset_by_the_watchdog(&guest, bundles)
    );
    case!(
        report,
        sources::a_bundle_on_a_stick_is_refused_when_another_has_signed_it(
            &guest,
            ground,
            &bundles.good
        )
    );
    case!(report, a_good_update_is_confirmed(&guest, ground, bundles));
    case!(
        report,
        an_updated_box_has_the_registers_that_its_bundle_foretold(&guest, bundles)
    );
    guest.machine.cut()?;
    case!(
        report,
        an_updated_box_refuses_an_older_signed_image_by_its_number(ground, bundles, &folder)
    );
    drop(folder);
    case!(
        report,
        full::a_box_whose_data_partition_is_full_goes_on_and_makes_room_for_an_update(
            ground,
            &bundles.good
        )
    );
    Ok(())
}

fn request(number: u64, trial: u64, words: &'static str) -> Request {
    Request {
        number,
        trial: Some(trial),
        words,
        ..Request::development(Board::QemuAarch64)
    }
}

/// Gives the box a bundle; it is taken. A box that has just started looks at its slots first, and says so.
fn install(guest: &Guest, bundle: &Path) -> anyhow::Result<()> {
    let door = guest.door()?;
    until(BOOT, || {
        let answer = door.say(&["update", "install"], Some(bundle))?;
        let said = String::from_utf8_lossy(&answer.stderr);
        let later = said.contains("try again in a moment");
        ensure!(
            later || answer.status.success(),
            "it refuses the bundle: {said}"
        );
        Ok((!later).then_some(()))
    })
}

/// How many lines of the console have these words, from line `after` on.
fn count(guest: &Guest, after: usize, words: &str) -> usize {
    let lines = guest.machine.console.lines();
    let new = lines.iter().skip(after);
    new.filter(|line| line.text.contains(words)).count()
}

fn lines(guest: &Guest) -> usize {
    guest.machine.console.lines().len()
}

/// Waits for words on the console, from line `after` on.
fn hear(guest: &Guest, after: usize, words: &str) -> anyhow::Result<()> {
    until(BOOT, || Ok((count(guest, after, words) > 0).then_some(())))
        .with_context(|| format!("the box never said `{words}`"))
}

/// The state of updates, once none is under way and the box answers again.
fn ended(guest: &Guest) -> anyhow::Result<Value> {
    until(ENDED, || {
        // While it restarts, nobody answers.
        let status = guest.door()?.update_status()?;
        let ended = says(&status, "/state") == Some("idle") && status.get("last").is_some();
        Ok(ended.then_some(status))
    })
    .context("the update does not end")
}

fn says<'a>(status: &'a Value, place: &str) -> Option<&'a str> {
    status.pointer(place).and_then(Value::as_str)
}

fn rolled_back(status: &Value, why: &str) -> anyhow::Result<()> {
    let release = status.pointer("/running/release").and_then(Value::as_u64);
    ensure!(
        release == Some(OLD),
        "another release than the old one runs: {status}"
    );
    ensure!(
        says(status, "/last/outcome") == Some("rolled-back"),
        "{status}"
    );
    let said = says(status, "/last/why").unwrap_or_default();
    ensure!(said.contains(why), "it says why: {said}");
    Ok(())
}

fn an_update_whose_kernel_panics_is_given_up_after_three_trials(
    guest: &Guest,
    bundles: &Bundles,
) -> anyhow::Result<()> {
    let before = lines(guest);
    install(guest, &bundles.panics)?;
    rolled_back(&ended(guest)?, "3 trials ended without a word")?;
    let trials = count(guest, before, B);
    ensure!(trials == 3, "it was tried {trials} times");
    ensure!(
        count(guest, before, "Kernel panic") == 3,
        "something else ended it"
    );
    Ok(())
}

/// Nobody waits for two more trials: the operator gives it up.
fn give_up(guest: &Guest, before: usize) -> anyhow::Result<()> {
    let after = lines(guest);
    hear(guest, after.max(before), A)?;
    until(ENDED, || {
        let answer = guest.door()?.say(&["update", "rollback"], None)?;
        Ok(answer.status.success().then_some(()))
    })?;
    rolled_back(&ended(guest)?, "operator")
}

/// It comes by sftp.
fn an_update_whose_edged_never_starts_is_ended_by_its_guard(
    guest: &Guest,
    bundles: &Bundles,
) -> anyhow::Result<()> {
    let before = lines(guest);
    sources::install_uploaded(guest, &bundles.never_ready)?;
    hear(guest, before, GIVEN_UP)?;
    give_up(guest, before)
}

fn an_update_that_hangs_is_reset_by_the_watchdog(
    guest: &Guest,
    bundles: &Bundles,
) -> anyhow::Result<()> {
    let before = lines(guest);
    install(guest, &bundles.hangs)?;
    hear(guest, before, B)?;
    let tried = lines(guest);
    hear(guest, tried, "Freezing execution")?;
    give_up(guest, tried)?;
    ensure!(count(guest, before, GIVEN_UP) == 0, "its guard was faster");
    Ok(())
}

/// It comes on a stick.
fn a_good_update_is_confirmed(
    guest: &Guest,
    ground: &Ground,
    bundles: &Bundles,
) -> anyhow::Result<()> {
    let before = lines(guest);
    sources::install_from_stick(guest, ground, &bundles.good)?;
    let status = until(ENDED, || {
        let status = ended(guest)?;
        Ok((says(&status, "/last/outcome") == Some("confirmed")).then_some(status))
    })?;
    let release = status.pointer("/running/release").and_then(Value::as_u64);
    ensure!(release == Some(NEW), "{status}");
    ensure!(count(guest, before, B) == 1, "it was tried more than once");
    Ok(())
}

fn an_updated_box_has_the_registers_that_its_bundle_foretold(
    guest: &Guest,
    bundles: &Bundles,
) -> anyhow::Result<()> {
    let differences = differences(&bundles.golden, &trust::log(guest)?);
    ensure!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

/// It is signed by the right key, and its policy opens the data; the TPM has counted.
fn an_updated_box_refuses_an_older_signed_image_by_its_number(
    ground: &Ground,
    bundles: &Bundles,
    folder: &Folder,
) -> anyhow::Result<()> {
    for held in images(&ground.root, folder)? {
        ensure!(
            held == bundles.image,
            "a slot has another image than the new one"
        );
    }
    put_image(folder, &std::fs::read(&ground.parts.image.uki)?)?;
    let once = Changes {
        once: true,
        ..Changes::default()
    };
    let guest = Guest::start(&ground.root, folder, &once)?;
    let words = "UMEC-INIT-REFUSED: this image is release 1 and the box has confirmed 2";
    let heard = guest.machine.console.wait(BOOT, &|| false, |line| {
        let open = line.text.contains("DATA-") || line.text.contains(board_qemu::READY);
        (open || line.text.contains("REFUSED")).then(|| line.text.clone())
    });
    match heard {
        Heard::Line(line) => ensure!(line.contains(words), "it said `{line}`"),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}
