//! One bit of a stage changed, to see who refuses it.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::Firmware;
use crate::fip::{find, image};
use crate::flash::PACKAGE_PLACE;

/// A stage of the firmware behind BL1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// BL2, which BL1 verifies.
    Bl2,
    /// BL31, which BL2 verifies.
    Bl31,
    /// OP-TEE, which BL2 verifies.
    Tee,
    /// U-Boot, which BL2 verifies.
    Bootloader,
}

impl Stage {
    /// All of them, in the order in which they are loaded.
    pub const ALL: [Self; 4] = [Self::Bl2, Self::Bl31, Self::Tee, Self::Bootloader];

    /// What the console says when the stage is refused. (21 is OP-TEE's pager; -80 an authentication that failed.)
    pub const fn refusal(self) -> &'static str {
        match self {
            Self::Bl2 => "ERROR:   Failed to load BL2 firmware.",
            Self::Bl31 => "BL2: Failed to load image id 3 (-80)",
            Self::Tee => "BL2: Failed to load image id 21 (-80)",
            Self::Bootloader => "BL2: Failed to load image id 5 (-80)",
        }
    }

    /// The program that refuses it.
    pub const fn refused_by(self) -> &'static str {
        match self {
            Self::Bl2 => "BL1",
            Self::Bl31 | Self::Tee | Self::Bootloader => "BL2",
        }
    }

    const fn image(self) -> [u8; 16] {
        match self {
            Self::Bl2 => image::BL2,
            Self::Bl31 => image::BL31,
            Self::Tee => image::TEE,
            Self::Bootloader => image::BL33,
        }
    }
}

/// Writes a copy of the flash image in which one bit in the middle of a stage is changed.
///
/// # Errors
/// The flash image cannot be read, or has no such stage.
pub fn tamper(firmware: &Firmware, stage: Stage, to: &Path) -> anyhow::Result<()> {
    let mut flash = fs::read(&firmware.flash)
        .with_context(|| format!("cannot read {}", firmware.flash.display()))?;
    let package = flash
        .get_mut(PACKAGE_PLACE..)
        .context("the flash image has no package")?;
    let range = find(package, stage.image())?;
    let middle = range.start + (range.end - range.start) / 2;
    let byte = package
        .get_mut(middle)
        .context("the stage is not in the flash image")?;
    *byte ^= 1;
    fs::write(to, flash).with_context(|| format!("cannot write {}", to.display()))
}
