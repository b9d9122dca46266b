//! What a box is made of.

use std::path::{Path, PathBuf};

use anyhow::bail;
use board_firmware::{Firmware, qemu_aarch64};
use board_forge::Cache;
use board_image::{Board, Image, Request, build};
use board_keys::{Keys, Name, Signer};

/// A new box, as it was built with this machine's development keys.
#[derive(Debug)]
pub struct Parts {
    /// The flash and what is in it.
    pub firmware: Firmware,
    /// The image for its disk.
    pub image: Image,
    /// The key that commissions it.
    pub commissioning: PathBuf,
    /// The keys that all of it was signed with.
    pub keys: Keys,
}

impl Parts {
    /// Builds them, or takes them from the cache.
    ///
    /// # Errors
    /// What the build says.
    pub fn build(cache: &Cache) -> anyhow::Result<Self> {
        let image = build(cache, &Request::development(Board::QemuAarch64))?;
        let keys = Keys::development(cache)?;
        let Signer::File(commissioning) = keys.signer(Name::Commissioning) else {
            bail!("the commissioning key is held elsewhere, and ssh(1) needs it in a file");
        };
        Ok(Self {
            firmware: qemu_aarch64(cache, &keys)?,
            image,
            commissioning,
            keys,
        })
    }

    /// The values that the TPM will hold, foretold.
    pub fn golden(&self) -> &Path {
        &self.image.golden
    }
}
