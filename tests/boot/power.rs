//! A box whose power fails at the worst moments of its first day.

use anyhow::{Context, ensure};
use board_qemu::{Changes, Folder, Guest};

use crate::good::boot;
use crate::ground::Ground;
use crate::{commission, outside};

/// What the box says of its data on its first start, and on every other (edged/init).
const FORMATTED: &str = "DATA-FORMATTED";
const OPENED: &str = "DATA-READY";

/// Once the moment it says for the first time that it serves, once as soon as it is somebody's. No settling: what the
/// box's kernel still holds back is lost, and the box must do without it.
pub fn a_new_box_that_loses_its_power_as_soon_as_it_is_ready_starts_again_and_is_commissioned(
    ground: &Ground,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    start(ground, &folder, FORMATTED)?.machine.cut()?;
    let guest = start(ground, &folder, OPENED)?;
    commission::the_box_is_commissioned_with_openssh(&guest, ground, &mut None)?;
    guest.machine.cut()?;
    let guest = start(ground, &folder, OPENED)?;
    commission::a_commissioned_box_refuses_the_commissioning_key(&guest, ground)?;
    commission::the_status_of_the_box_says_what_it_is(&guest)?;
    let line = guest
        .line()?
        .context("the operator's key does not open the box")?;
    outside::the_box_answers_over_https(&line)?;
    outside::the_box_answers_over_mqtt(&line)
}

/// Waits until the box serves, and for nothing else.
fn start<'a>(ground: &Ground, folder: &'a Folder, said: &str) -> anyhow::Result<Guest<'a>> {
    let guest = boot(ground, folder, &Changes::default())?;
    let lines = guest.machine.console.lines();
    let says = lines.iter().any(|line| line.text.contains(said));
    ensure!(says, "the box is ready and did not say {said}");
    Ok(guest)
}
