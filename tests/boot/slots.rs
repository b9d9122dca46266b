//! A box with two images, of which the first is broken.

use anyhow::{Context, ensure};
use board_image::measure::differences;
use board_qemu::tamper::{BYPASSED, arm, fall_back};
use board_qemu::{BOOT, Changes, Folder, Guest, Heard, Outcome};

use crate::refusals::copy;
use crate::trust;
use umec_tests::ground::Ground;

/// Everything that U-Boot was asked to start is in this register, whether it did or not.
const STARTED: u8 = 4;

/// Its data opens as well: what the register above holds is no part of the seal. An add-on for the second image's command
/// line, which nobody signed, is refused, and whatever the kernel got is what the build foretold.
pub fn a_box_whose_first_image_is_broken_boots_the_second_as_it_was_signed(
    ground: &Ground,
    good: Option<&Folder>,
) -> anyhow::Result<()> {
    let folder = copy(good)?;
    fall_back(&ground.cache, &ground.root, &folder)?;
    let guest = Guest::start(&ground.root, &folder, &Changes::default())?;
    let outcome = guest.outcome(&|| false)?;
    ensure!(matches!(outcome, Outcome::Ready), "{outcome:?}");
    let lines = guest.machine.console.lines();
    let said = |words: &str| lines.iter().any(|line| line.text.contains(words));
    ensure!(said("Booting: B"), "it did not boot the second image");
    ensure!(!said(BYPASSED), "the kernel has the add-on's words");
    let differences = differences(&trust::golden(ground)?, &trust::log(&guest)?);
    let other = differences.iter().find(|one| one.pcr != STARTED);
    ensure!(other.is_none(), "{other:?}");
    // The image that is broken, and the add-on.
    let first = differences.first().context("nothing else was tried")?;
    ensure!(first.found.is_some(), "{first:?}");
    Ok(())
}

/// The firmware does not believe the file, and needs nothing of it: what it starts is inside it.
pub fn a_box_with_a_torn_file_of_variables_boots_its_first_image(
    guest: &Guest,
) -> anyhow::Result<()> {
    let lines = guest.machine.console.lines();
    let said = |words: &str| lines.iter().any(|line| line.text.contains(words));
    ensure!(said("Invalid EFI variables file"), "the file was believed");
    ensure!(said("Booting: A"), "it did not boot the first image");
    Ok(())
}

/// What cannot be taken back is not begun: else a new image that does not work would be started for ever.
pub fn a_box_whose_disk_takes_no_writes_does_not_try_its_second_image(
    ground: &Ground,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    arm(&folder)?;
    let changes = Changes {
        arguments: ["-set", "drive.disk.readonly=on"]
            .map(str::to_owned)
            .to_vec(),
        ..Changes::default()
    };
    let guest = Guest::start(&ground.root, &folder, &changes)?;
    let mut kept = false;
    let heard = guest.machine.console.wait(BOOT, &|| false, |line| {
        kept |= line.text.contains("Deleting BootNext failed");
        line.text.contains("Booting: ").then(|| line.text.clone())
    });
    guest.machine.cut()?;
    ensure!(kept, "its disk took the write");
    match heard {
        Heard::Line(line) => ensure!(line.contains("Booting: A"), "it said `{line}`"),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}
