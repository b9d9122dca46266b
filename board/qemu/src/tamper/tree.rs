//! The device tree that QEMU hands to BL1.

use std::fs;

use anyhow::Context;
use board_forge::{DebianRoot, run};

use super::flip_bit;
use crate::folder::{Folder, INSIDE};
use crate::machine;

/// The machine's name in the tree (QEMU's hw/arm/virt.c): changing it does no harm but to be another tree.
const NAME: &[u8] = b"linux,dummy-virt";

/// Has QEMU write the tree of this very hardware, flips a bit of it, and returns the arguments that start with it.
pub fn flip(root: &DebianRoot, folder: &Folder) -> anyhow::Result<Vec<String>> {
    let path = folder.path.join("tree.dtb");
    machine::write_tree(root, folder, &format!("{INSIDE}/whole.dtb"))?;
    // QEMU writes 1 MiB, nearly all of it free, and doubles what it is given; BL2 has room for 1 MiB alone.
    let words = [
        "-q",
        "-I",
        "dtb",
        "-O",
        "dtb",
        "-o",
        "tree.dtb",
        "whole.dtb",
    ];
    run(root.command(INSIDE, &[folder.bind()], "dtc")?.args(words))?;
    let tree = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let at = tree
        .windows(NAME.len())
        .position(|window| window == NAME)
        .context("QEMU's device tree does not name the machine")?;
    flip_bit(&path, u64::try_from(at + NAME.len() - 1)?)?;
    Ok(vec!["-dtb".to_owned(), format!("{INSIDE}/tree.dtb")])
}
