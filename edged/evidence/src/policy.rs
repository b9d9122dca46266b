//! Policies of a TPM, computed without one (TPM 2.0 Library, part 1, 19.7).

use crate::pcr::Value;

/// `TPM_CC_PolicyPCR`.
const POLICY_PCR: u32 = 0x0000_017f;
/// `TPM_CC_PolicyAuthorize`.
const POLICY_AUTHORIZE: u32 = 0x0000_016a;
/// `TPML_PCR_SELECTION` of PCR 11 in the bank of SHA-256: one bank, three bytes, of which the second's fourth bit is set.
const SELECTION: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x00, 0x08, 0x00];
/// What a signature for the running box is for. Without it, it would be one for the phase in which the data partition
/// opens, and the key of the data could be asked for again.
const RUNNING: &str = "umec:running";

/// The policy "PCR 11 holds this".
pub fn holds(register: Value) -> Value {
    let before = Value::default();
    let values = Value::of(&register.0);
    Value::of(
        &[
            &before.0,
            POLICY_PCR.to_be_bytes().as_slice(),
            &SELECTION,
            &values.0,
        ]
        .concat(),
    )
}

/// The policy "whatever the key with this name has signed, for this purpose".
pub fn authorized(key: &[u8], purpose: Value) -> Value {
    let before = Value::default();
    let by = Value::of(&[&before.0, POLICY_AUTHORIZE.to_be_bytes().as_slice(), key].concat());
    Value::of(&[by.0, purpose.0].concat())
}

/// The purpose (`policyRef`) of signatures for the running box.
pub fn running() -> Value {
    Value::of(RUNNING.as_bytes())
}

/// What the key signs to allow a policy for a purpose: hashed once more by the signature itself.
pub fn to_sign(policy: Value, purpose: Value) -> Vec<u8> {
    [policy.0, purpose.0].concat()
}
