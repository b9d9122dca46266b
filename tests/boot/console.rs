//! What a good boot says.

use anyhow::{Context, ensure};
use board_qemu::tamper::BYPASSED;
use board_qemu::{Guest, Line, READY};

/// Every stage and its words, in the order in which they run: TF-A 2.12, U-Boot 2025.01, systemd-stub 257, Linux 6.12,
/// and our own.
const STAGES: [(&str, &str); 8] = [
    ("BL1", "BL1: v"),
    ("BL2", "BL2: v"),
    ("BL31", "BL31: v"),
    ("U-Boot", "U-Boot 20"),
    ("the boot manager", "Booting: "),
    ("the image's stub", "EFI stub: "),
    ("umec-init", "uMEC "),
    ("edged", READY),
];

fn find<'a>(lines: &'a [Line], words: &str) -> anyhow::Result<&'a Line> {
    let found = lines.iter().find(|line| line.text.contains(words));
    found.with_context(|| format!("the console does not say `{words}`"))
}

/// The stages in their order.
pub fn every_stage_of_the_box_boots_in_its_turn(guest: &Guest) -> anyhow::Result<()> {
    let lines = guest.machine.console.lines();
    let mut from = 0;
    for (stage, words) in STAGES {
        let rest = lines.get(from..).unwrap_or_default();
        let place = rest.iter().position(|line| line.text.contains(words));
        from += place.with_context(|| format!("{stage} does not say `{words}` in its turn"))?;
        let at = lines.get(from).map(|line| line.at).unwrap_or_default();
        eprintln!("    {stage:<18}{:>6.2} s", at.as_secs_f64());
    }
    Ok(())
}

/// Development keys are loud.
pub fn the_console_of_the_box_says_development(guest: &Guest) -> anyhow::Result<()> {
    find(&guest.machine.console.lines(), "DEVELOPMENT").map(drop)
}

/// What somebody put beside the chain had no effect.
pub fn an_environment_and_words_beside_the_chain_do_nothing_to_the_box(
    guest: &Guest,
) -> anyhow::Result<()> {
    let lines = guest.machine.console.lines();
    let found = lines.iter().find(|line| line.text.contains(BYPASSED));
    ensure!(found.is_none(), "the console says: {found:?}");
    Ok(())
}
