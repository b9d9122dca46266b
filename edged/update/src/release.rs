//! The counting number of an image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a release may be above what a box has confirmed: the box's TPM counts one by one, each step a write to its flash
/// (`edged-tpm`), and a number that is a date would never be reached.
pub const LEAP: u64 = 1000;

/// The counting number of an image: the higher one is the newer one. 0 stands for none.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Release(u64);

impl Release {
    /// By its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
