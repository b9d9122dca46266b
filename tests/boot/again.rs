//! Boxes whose door does not open: nobody comes by to switch them off and on.
//!
//! Each of the two cases waits for minutes in which its box does nothing, so they have lanes of their own.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use board_qemu::tamper::What;
use board_qemu::{BOOT, Changes, Folder, Guest, Heard, Monitor, Outcome, READY, Stage};

use crate::good::boot;
use umec_tests::case;
use umec_tests::ground::Ground;
use umec_tests::report::Report;

/// What a box does not wait for longer (`umec-announce.service`, `umec-again.timer`).
const PATIENCE: Duration = Duration::from_secs(300);
/// Until a box that has lost its patience starts again, at most: four minutes were seen, for as long systemd tries to end
/// what does not end; then the watchdog does it.
const ENDED: Duration = Duration::from_secs(PATIENCE.as_secs() + 420);
/// A disk that is as good as dead, bytes a second. QEMU knows no slower one that still answers.
const DEAD: u64 = 512;
/// The first words of each start, and those of the image's own first program.
const STARTS: &str = "BL1: Booting BL2";
const INIT: &str = "uMEC ";

/// Runs both lanes.
pub fn run(report: &Report, ground: &Ground) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            case!(
                report,
                a_box_whose_disk_hangs_starts_again_and_serves_once_it_does_not(ground)
            );
        });
        case!(report, a_box_whose_data_is_refused_looks_again(ground));
    });
}

/// The moments at which the console said these words.
fn moments(guest: &Guest, words: &str) -> Vec<Duration> {
    let lines = guest.machine.console.lines();
    let said = lines.iter().filter(|line| line.text.contains(words));
    said.map(|line| line.at).collect()
}

/// Waits for these words to be said `times` times; the last line before that, if they are not.
fn hear(guest: &Guest, words: &str, times: usize, longest: Duration) -> anyhow::Result<()> {
    let mut heard = 0;
    let outcome = guest.machine.console.wait(longest, &|| false, |line| {
        heard += usize::from(line.text.contains(words));
        (heard == times).then_some(())
    });
    ensure!(
        matches!(outcome, Heard::Line(())),
        "`{words}` was said {heard} times, not {times}: {outcome:?}; its last words: {}",
        guest.machine.console.last(1)
    );
    Ok(())
}

/// It hangs in a new box's first start, and the start after that finds whatever the first has left.
fn a_box_whose_disk_hangs_starts_again_and_serves_once_it_does_not(
    ground: &Ground,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    let changes = Changes {
        arguments: Monitor::arguments(),
        ..Changes::default()
    };
    let guest = Guest::start(&ground.root, &folder, &changes)?;
    let mut monitor = Monitor::open(&folder)?;
    hear(&guest, INIT, 1, BOOT)?;
    monitor.slow_disk(DEAD)?;
    let hung = Instant::now();
    hear(&guest, STARTS, 2, ENDED)?;
    ensure!(
        hung.elapsed() > PATIENCE / 2,
        "it was reset after {:?}, by somebody else",
        hung.elapsed()
    );
    ensure!(
        moments(&guest, READY).is_empty(),
        "it serves without its disk"
    );
    monitor.slow_disk(0)?;
    hear(&guest, READY, 1, BOOT)?;
    guest.machine.cut()
}

/// What refuses may be a TPM that does not answer well today: the box looks again, and still opens nothing.
fn a_box_whose_data_is_refused_looks_again(ground: &Ground) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    boot(ground, &folder, &Changes::default())?.machine.cut()?;
    let changes = What::Data.apply(&ground.cache, &ground.root, &ground.parts, &folder)?;
    let changes = Changes {
        once: false,
        ..changes
    };
    let guest = Guest::start(&ground.root, &folder, &changes)?;
    let outcome = guest.outcome(&|| false)?;
    ensure!(
        matches!(outcome, Outcome::Refused(Stage::Data)),
        "{outcome:?}"
    );
    let refused = "DATA-REFUSED";
    hear(&guest, STARTS, 2, ENDED)?;
    hear(&guest, refused, 2, BOOT)?;
    let first = moments(&guest, refused);
    let first = first.first().context("it refused nothing")?;
    let again = moments(&guest, STARTS);
    let waited = again
        .get(1)
        .context("it did not start again")?
        .saturating_sub(*first);
    ensure!(
        waited + Duration::from_secs(10) > PATIENCE,
        "it looked again after {waited:?}: a box must not wear itself out"
    );
    ensure!(
        moments(&guest, READY).is_empty(),
        "it serves without its data"
    );
    guest.machine.cut()
}
