//! What a TPM says under its signature (`TPMS_ATTEST`; TPM 2.0 Library, part 2, 10.12).

use serde::{Deserialize, Serialize};

use crate::pcr::Value;
use crate::wire::{Reader, WireError, algorithm};

/// What every statement begins with; a restricted key signs nothing else that does.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`.
const CERTIFY: u16 = 0x8017;
/// `TPM_ST_ATTEST_QUOTE`.
const QUOTE: u16 = 0x8018;
/// Banks in one selection: a TPM has as many as it has hash algorithms.
const BANKS: u32 = 16;

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// What the asker gave, to be signed as well (`extraData`).
    pub qualifying: Vec<u8>,
    /// The TPM's clock when it signed.
    pub clock: Clock,
    /// What it says.
    pub content: Content,
}

/// The clock of a TPM: it never goes back but with the TPM's whole state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clock {
    /// Boots of the machine.
    pub resets: u32,
    /// Wakings since the last of them.
    pub restarts: u32,
    /// Milliseconds that the TPM was on, ever.
    pub milliseconds: u64,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These registers hold values with this hash.
    Quote {
        /// Registers of the SHA-256 bank, ascending.
        registers: Vec<u8>,
        /// Hash of their values, one after the other.
        digest: Value,
    },
    /// An object with this name is in this TPM.
    Certify {
        /// Its name.
        name: Vec<u8>,
    },
}

/// Why bytes are no statement of a TPM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The structure.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another beginning: no TPM made it.
    #[error("it begins with {0:#010x}, and no TPM begins so")]
    Magic(u32),
    /// A statement about something else.
    #[error("it is a statement of type {0:#06x}, neither a quote nor about a key")]
    Kind(u16),
}

impl Attest {
    /// Reads one, strictly.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, AttestError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.word()?;
        if magic != GENERATED {
            return Err(AttestError::Magic(magic));
        }
        let kind = reader.half()?;
        let _signer = reader.counted()?;
        let qualifying = reader.counted()?.to_vec();
        let milliseconds = reader.long()?;
        let (resets, restarts) = (reader.word()?, reader.word()?);
        let _safe = reader.byte()?;
        let _firmware = reader.long()?;
        let content = match kind {
            QUOTE => quote(&mut reader)?,
            CERTIFY => {
                let name = reader.counted()?.to_vec();
                let _qualified = reader.counted()?;
                Content::Certify { name }
            }
            other => return Err(AttestError::Kind(other)),
        };
        reader.end()?;
        Ok(Self {
            qualifying,
            clock: Clock {
                resets,
                restarts,
                milliseconds,
            },
            content,
        })
    }
}

/// `TPMS_QUOTE_INFO`: which registers, and the hash of what they hold. Other banks may be listed if nothing is chosen there.
fn quote(reader: &mut Reader) -> Result<Content, WireError> {
    let banks = reader.word()?;
    if banks > BANKS {
        return Err(WireError::Unknown {
            what: "number of banks",
            found: banks,
        });
    }
    let mut registers = Vec::new();
    for _ in 0..banks {
        let bank = reader.half()?;
        let length = reader.byte()?;
        let chosen: Vec<u8> = (0u8..)
            .zip(reader.take(length.into())?)
            .flat_map(|(byte, bits)| {
                (0..8)
                    .filter(move |bit| bits >> bit & 1 == 1)
                    .map(move |bit| byte.saturating_mul(8).saturating_add(bit))
            })
            .collect();
        if bank == algorithm::SHA256 && registers.is_empty() {
            registers = chosen;
        } else if !chosen.is_empty() {
            return Err(WireError::Unknown {
                what: "bank of registers",
                found: bank.into(),
            });
        }
    }
    let digest = reader.counted()?;
    let digest = digest.try_into().map_err(|_| WireError::Unknown {
        what: "length of the registers' hash",
        found: u32::try_from(digest.len()).unwrap_or(u32::MAX),
    })?;
    Ok(Content::Quote {
        registers,
        digest: Value(digest),
    })
}
