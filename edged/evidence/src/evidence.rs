//! What a box sends to prove what it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::pcr::{Event, Value};

/// The registers that are asked for: what firmware, image and box measure. 8, 10, 14 and 15 belong to nobody here.
pub const REGISTERS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13];
/// Begins what is signed, so that no other use of the key can be taken for it.
const DOMAIN: &str = "umec-quote-1";
/// Stands before the hash of a statement, which then has 33 bytes: a nonce has 32 at most, so nobody gets that signed by
/// asking with a nonce alone. Every TPM takes 34 (`TPM2B_DATA`, the size of a `TPMT_HA` with SHA-256).
const STATED: u8 = 1;

/// Who a box is, as its TPM says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The endorsement key (`TPMT_PUBLIC`): the TPM's own for ever.
    pub endorsement: Bytes,
    /// Its maker's certificate for it (X.509), where the TPM has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<Bytes>,
    /// The attestation key (`TPMT_PUBLIC`).
    pub key: Bytes,
}

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// What was asked with.
    pub nonce: Bytes,
    /// What the box says beside: JSON text, signed byte by byte. Absent where the nonce alone is signed, as tpm2-tools
    /// expects it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub statement: Option<String>,
    /// What the TPM says (`TPMS_ATTEST`).
    pub attest: Bytes,
    /// Its signature (`TPMT_SIGNATURE`).
    pub signature: Bytes,
    /// Whose (`TPMT_PUBLIC`).
    pub key: Bytes,
    /// What the registers hold: the statement has their hash alone.
    pub registers: BTreeMap<u8, Value>,
    /// The firmware's log of the boot; absent where nothing measured it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<Bytes>,
    /// What was measured after the firmware.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub after: Vec<Event>,
}

/// What the TPM is to sign beside the registers: never the same with a statement as without.
pub fn qualifying(nonce: &[u8], statement: Option<&str>) -> Vec<u8> {
    let Some(statement) = statement else {
        return nonce.to_vec();
    };
    let parts = [
        DOMAIN.as_bytes(),
        // Hashes have one length each, so no two questions give the same text.
        &Value::of(nonce).0,
        &Value::of(statement.as_bytes()).0,
    ];
    [[STATED].as_slice(), &Value::of(&parts.concat()).0].concat()
}

/// The hash of registers as a quote has it: of their values, one after the other.
pub fn hash(registers: &BTreeMap<u8, Value>) -> Value {
    let values: Vec<u8> = registers.values().flat_map(|value| value.0).collect();
    Value::of(&values)
}
