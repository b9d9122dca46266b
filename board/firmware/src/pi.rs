//! What a Raspberry Pi's own firmware starts.
//!
//! | board | armstub | U-Boot | verified from | known |
//! |---|---|---|---|---|
//! | Pi 3 | none: U-Boot starts in EL2 by the Pi's own stub | `rpi_arm64` | U-Boot's check of the image | `PLAT=rpi3` of TF-A has BL1 and BL2, and so a chain of its own, but the mask ROM verifies nothing before it; not built |
//! | Pi 4 | `PLAT=rpi4` BL31 | `rpi_arm64` | U-Boot's check of the image | the EEPROM's signed boot (fused by the owner, with Raspberry Pi's tools) can verify the boot partition |
//! | Pi 5 | `PLAT=rpi5` BL31 | `rpi_arm64` | U-Boot's check of the image | U-Boot 2025.01 drives card and console alone; never tried |
//!
//! On none of them is secure memory shielded from the normal world, so there is no OP-TEE: it would be one in name only.

use std::fs;
use std::path::PathBuf;

use board_forge::{Cache, Digest, Inputs, tools};
use board_keys::Keys;

use crate::{tf_a, u_boot};

/// U-Boot of every Pi.
const U_BOOT: u_boot::Configuration = u_boot::Configuration {
    defconfig: "rpi_arm64_defconfig",
    fragment: "u-boot/rpi.config",
};

/// A model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pi {
    /// Raspberry Pi 3.
    Three,
    /// Raspberry Pi 4.
    Four,
    /// Raspberry Pi 5.
    Five,
}

/// What goes onto the boot partition beside the Pi's own firmware.
#[derive(Debug, Clone)]
pub struct RaspberryFirmware {
    /// `kernel=` of config.txt.
    pub u_boot: PathBuf,
    /// `armstub=` of config.txt.
    pub bl31: Option<PathBuf>,
    /// The variables in U-Boot.
    pub seed: PathBuf,
    /// U-Boot's configuration.
    pub u_boot_config: PathBuf,
    /// True when the keys are a developer's; U-Boot then says so.
    pub development: bool,
    /// What names this very firmware.
    pub key: Digest,
}

/// Builds a Raspberry Pi's U-Boot and BL31.
///
/// # Errors
/// A source is not to be had, a build fails, or an option was not taken.
pub fn raspberry(cache: &Cache, keys: &Keys, model: Pi) -> anyhow::Result<RaspberryFirmware> {
    let root = tools(cache)?;
    let u_boot = u_boot::make(cache, &root, U_BOOT, keys.development)?;
    let platform = match model {
        Pi::Three => None,
        Pi::Four => Some("rpi4"),
        Pi::Five => Some("rpi5"),
    };
    let bl31 = platform
        .map(|platform| tf_a::make_raspberry(cache, &root, platform))
        .transpose()?;
    let seed = keys.seed()?;
    let mut inputs = Inputs::new()
        .made("u-boot", &u_boot)
        .text("seed", Digest::of(&seed).as_str());
    if let Some(bl31) = &bl31 {
        inputs = inputs.made("bl31", bl31);
    }
    let made = cache.step("firmware-raspberry", &inputs, |out| {
        fs::write(out.join("seed.var"), &seed)?;
        fs::write(out.join("u-boot.bin"), u_boot::with_seed(&u_boot, &seed)?)?;
        fs::copy(u_boot.join(".config"), out.join("u-boot.config"))?;
        if let Some(bl31) = &bl31 {
            fs::copy(bl31.join("bl31.bin"), out.join("bl31.bin"))?;
        }
        Ok(())
    })?;
    Ok(RaspberryFirmware {
        u_boot: made.join("u-boot.bin"),
        bl31: bl31.map(|_| made.join("bl31.bin")),
        seed: made.join("seed.var"),
        u_boot_config: made.join("u-boot.config"),
        development: keys.development,
        key: made.key,
    })
}
