//! What a box is made of.

use std::path::PathBuf;

use board_firmware::Firmware;
use board_forge::Cache;
use board_keys::Keys;

/// A new box, as it was built.
#[derive(Debug)]
pub struct Parts {
    /// The flash and what is in it.
    pub firmware: Firmware,
    /// The disk.
    pub disk: PathBuf,
    /// The values that the TPM will hold, predicted.
    pub golden: PathBuf,
    /// The key that commissions a development box.
    pub commissioning: PathBuf,
    /// The keys that all of it was signed with.
    pub keys: Keys,
}

impl Parts {
    /// Builds them, or takes them from the cache.
    ///
    /// # Errors
    /// What the build says.
    pub fn build(_cache: &Cache) -> anyhow::Result<Self> {
        anyhow::bail!("board-image does not write a disk yet")
    }
}
