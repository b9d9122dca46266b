//! U-Boot: compiled without keys, its variables filled in afterwards.

use std::fs;

use anyhow::Context;
use board_forge::{Cache, DebianRoot, Digest, Made};

use crate::options::{check, text};
use crate::place::Place;
use crate::source::U_BOOT;
use crate::workshop::{Workshop, inputs};

/// Our patches.
const PATCHES: &str = "u-boot/patches";
/// What every board's configuration begins with.
const LOCKED: &str = "u-boot/locked.config";
/// What a development build adds.
const DEVELOPMENT: &str = "u-boot/development.config";
/// The file that `CONFIG_EFI_VAR_SEED_FILE` names.
const SEED: &str = "seed.place";
/// Bytes for the variables: four certificates and some hundred revoked images.
const SEED_BYTES: usize = 32 << 10;

/// A board's U-Boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Configuration {
    /// U-Boot's own.
    pub defconfig: &'static str,
    /// Ours, on top of it and of the locked one.
    pub fragment: &'static str,
}

/// Where the variables belong.
fn place() -> anyhow::Result<Place> {
    let marker = Digest::of(b"the place of the EFI variables")
        .as_str()
        .as_bytes()
        .to_vec();
    let room = SEED_BYTES.checked_sub(marker.len());
    Ok(Place {
        what: "the EFI variables of U-Boot",
        room: room.context("the place for EFI variables is too small")?,
        marker,
    })
}

/// `u-boot.bin` without keys, and its `.config`.
pub(crate) fn make(
    cache: &Cache,
    root: &DebianRoot,
    board: Configuration,
    development: bool,
) -> anyhow::Result<Made> {
    let mut fragment = text(LOCKED)? + &text(board.fragment)?;
    if development {
        fragment += &text(DEVELOPMENT)?;
    }
    let empty = place()?.empty();
    let inputs = inputs(root, &[U_BOOT], &[PATCHES])?
        .text("defconfig", board.defconfig)
        .text("fragment", &fragment)
        .text("place", &Digest::of(&empty).to_string());
    cache.step("u-boot", &inputs, |out| {
        let shop = Workshop::open(cache, root)?;
        shop.unpack(cache, &U_BOOT, Some(PATCHES))?;
        fs::write(shop.path("u-boot").join(SEED), &empty)?;
        fs::create_dir(shop.path("out"))?;
        fs::write(shop.path("out/fragment"), &fragment)?;
        let make = |target| {
            let words = ["O=/work/out", "CROSS_COMPILE=aarch64-linux-gnu-", target];
            shop.make("u-boot", &words)
        };
        make(board.defconfig)?;
        shop.run(
            "u-boot",
            "scripts/kconfig/merge_config.sh",
            &[
                "-m",
                "-O",
                "/work/out",
                "/work/out/.config",
                "/work/out/fragment",
            ],
        )?;
        make("olddefconfig")?;
        check(&fragment, &shop.path("out/.config"))?;
        make("u-boot.bin")?;
        shop.keep("out", &["u-boot.bin", ".config"], out)
    })
}

/// U-Boot with its variables.
pub(crate) fn with_seed(made: &Made, seed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut program = fs::read(made.join("u-boot.bin"))?;
    place()?.fill(&mut program, seed)?;
    Ok(program)
}
