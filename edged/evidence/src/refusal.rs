//! Why evidence proves nothing: one reason each.

use crate::attest::{AttestError, Clock};
use crate::golden::PHASED;
use crate::log::{LogError, Unexplained};
use crate::pcr::Value;
use crate::wire::WireError;

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No statement of a TPM.
    #[error("the quote cannot be read: {0}")]
    Attest(#[from] AttestError),
    /// A statement about something else.
    #[error("this is the TPM's statement about a key, not a quote of its registers")]
    NoQuote,
    /// No key.
    #[error("the attestation key cannot be read: {0}")]
    Key(WireError),
    /// Another box's key.
    #[error(
        "another key signed this than the one that was enrolled: it is another box, or its TPM was changed"
    )]
    OtherKey,
    /// A key that signs anything.
    #[error("the key signs whatever it is given, so its signature proves nothing of a TPM")]
    NoAttestationKey,
    /// No signature.
    #[error("the signature cannot be read: {0}")]
    Signature(WireError),
    /// A wrong one.
    #[error("the signature does not belong to this quote")]
    BadSignature,
    /// An answer to another question.
    #[error(
        "the quote answers another question: its nonce or its statement is not the one that is signed"
    )]
    StaleNonce,
    /// Other registers.
    #[error("the quote is over the registers {found:?}; asked for were {wanted:?}")]
    Registers {
        /// Which it has.
        found: Vec<u8>,
        /// Which it should have.
        wanted: Vec<u8>,
    },
    /// Values that were not signed.
    #[error("the values of the registers are not those that the TPM signed")]
    Values,
    /// A TPM that was put back.
    #[error(
        "the TPM's clock went back: boot {} at {} ms was seen before, and this is boot {} at {} ms; an old quote, or an old state of the TPM",
        seen.resets, seen.milliseconds, found.resets, found.milliseconds
    )]
    ClockWentBack {
        /// The latest known.
        seen: Clock,
        /// What the quote says.
        found: Clock,
    },
    /// Nothing to explain the registers.
    #[error("the box sent no log of its boot, so what its registers hold cannot be explained")]
    NoLog,
    /// No log.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A log of another boot, or an edited one.
    #[error("{0}")]
    NotReplayed(#[from] Unexplained),
    /// Events of another register than the phases have, told beside the log.
    #[error(
        "PCR {0} has events beside the firmware's log; after it the box measures its phases into PCR {PHASED} alone"
    )]
    NotAPhase(u8),
    /// More images than one.
    #[error("the firmware tried {0} images before one started: the first ones were not accepted")]
    OtherImages(usize),
    /// Something that nobody foretold, or not with this content.
    #[error("PCR {pcr}: {name} is {}, and the build foretold {}", shown(.found.as_ref()), shown(.expected.as_ref()))]
    NotForetold {
        /// The register.
        pcr: u8,
        /// The event.
        name: String,
        /// What the build foretold; nothing where it knows no such event.
        expected: Option<Value>,
        /// What was measured; nothing where the event is missing.
        found: Option<Value>,
    },
    /// What only the machine knows is another than before.
    #[error("PCR {pcr}: {name} is {found}, and was {before} when it was first compared")]
    MachineChanged {
        /// The register.
        pcr: u8,
        /// The event.
        name: String,
        /// What it was.
        before: Value,
        /// What it is.
        found: Value,
    },
    /// A register that is not as the build foretold, though its events are.
    #[error("PCR {pcr} holds {found}, and the build foretold {expected}")]
    Register {
        /// The register.
        pcr: u8,
        /// What the build foretold.
        expected: Value,
        /// What it holds.
        found: Value,
    },
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), ToString::to_string)
}
