//! What a bundle says of itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FORMAT, GOLDEN_MAX, Here, SBOM_MAX, Succession};
use crate::{Hash, LEAP, Refusal, Release};

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The board it is for.
    pub board: String,
    /// The version, for people.
    pub version: String,
    /// The counting number: what is newer.
    pub release: Release,
    /// Unix seconds, as in the image.
    pub built: u64,
    /// The database.
    pub schema: Schema,
    /// Fingerprint of the key that signed this.
    pub key: Hash,
    /// How that key came after earlier ones, oldest first.
    pub succession: Succession,
    /// What follows, in this order.
    pub parts: Vec<PartEntry>,
}

/// The layout of edged's database in a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The layout it writes.
    pub writes: u32,
    /// The oldest layout whose programs can read what it writes.
    pub reads: u32,
}

/// A part of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The signed unified kernel image.
    #[serde(rename = "uki")]
    Uki,
    /// What the registers of a TPM hold after it has booted.
    #[serde(rename = "golden.json")]
    Golden,
    /// The bill of materials.
    #[serde(rename = "sbom.spdx.json")]
    Sbom,
}

/// A part as the manifest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// Which.
    pub name: Part,
    /// Bytes.
    pub size: u64,
    /// Of these bytes.
    pub sha256: Hash,
}

impl Part {
    /// All of them, in the order of a bundle.
    pub const ALL: [Self; 3] = [Self::Uki, Self::Golden, Self::Sbom];

    /// As in the manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uki => "uki",
            Self::Golden => "golden.json",
            Self::Sbom => "sbom.spdx.json",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Manifest {
    /// A part's entry.
    pub fn part(&self, part: Part) -> Option<&PartEntry> {
        self.parts.iter().find(|entry| entry.name == part)
    }

    /// Bytes of all parts.
    pub fn size(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// Everything that needs no more than the manifest. It is signed by now.
    pub(crate) fn fits(&self, here: &Here) -> Result<(), Refusal> {
        if self.format != FORMAT {
            return Err(Refusal::Format(self.format));
        }
        if self.board != here.board {
            return Err(Refusal::Board {
                bundle: self.board.clone(),
                here: here.board.clone(),
            });
        }
        if self.release <= here.release {
            return Err(Refusal::NotNewer {
                bundle: self.release,
                here: here.release,
            });
        }
        if self.release.get().saturating_sub(here.release.get()) > LEAP {
            return Err(Refusal::TooFar {
                bundle: self.release,
                here: here.release,
            });
        }
        if let Some(schema) = here.schema {
            schema.takes(self.schema)?;
        }
        if !self.parts.iter().map(|entry| entry.name).eq(Part::ALL) {
            return Err(Refusal::Parts);
        }
        for &PartEntry { name, size, .. } in &self.parts {
            let room = match name {
                Part::Uki => here.slot,
                Part::Golden => GOLDEN_MAX,
                Part::Sbom => SBOM_MAX,
            };
            if size > room {
                return Err(Refusal::Size {
                    part: name,
                    size,
                    room,
                });
            }
        }
        Ok(())
    }
}
