//! What objects of this box look like to a TPM, before it fills in what is theirs (`TPMT_PUBLIC`).

use edged_evidence::key::attribute;
use edged_evidence::pcr::Value;
use edged_evidence::wire::algorithm;
use tss_esapi::structures::Public;
use tss_esapi::traits::UnMarshall as _;

use crate::error::{Asked as _, TrustError};

/// `TPM_ALG_KEYEDHASH`: a sealed secret.
const KEYED_HASH: u16 = 0x0008;
/// True of everything of this box: the TPM keeps it, and a wrong password does not lock it.
const OWN: u32 = attribute::FIXED_TPM | attribute::FIXED_PARENT | attribute::NO_DA;
/// Which attestation key it is: another text would be another key.
const ATTESTATION: &str = "umec:attestation";
/// Bits of the keys that hide what is below a storage key.
const CIPHER_BITS: u16 = 128;

/// A `TPMT_PUBLIC` that is written field by field.
#[derive(Default)]
struct Template(Vec<u8>);

impl Template {
    fn new(kind: u16, attributes: u32, policy: &[u8]) -> Self {
        Self::default()
            .half(kind)
            .half(algorithm::SHA256)
            .bytes(&attributes.to_be_bytes())
            .counted(policy)
    }

    fn half(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn counted(self, bytes: &[u8]) -> Self {
        // A policy or a coordinate: 32 bytes.
        let count = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.half(count).bytes(bytes)
    }

    /// The parameters of a key on P-256 that signs, and its point: empty, or what sets it apart from others.
    fn signing(self, x: &[u8]) -> Result<Public, TrustError> {
        self.half(algorithm::NULL)
            .half(algorithm::ECDSA)
            .half(algorithm::SHA256)
            .half(algorithm::P256)
            .half(algorithm::NULL)
            .counted(x)
            .counted(&[])
            .build()
    }

    fn build(self) -> Result<Public, TrustError> {
        Public::unmarshall(&self.0).asked("know this kind of object")
    }
}

/// The key that signs what the TPM says, and nothing else. Without a policy: a statement about a wrong state is true.
pub(crate) fn attestation() -> Result<Public, TrustError> {
    let attributes = OWN
        | attribute::SENSITIVE_DATA_ORIGIN
        | attribute::USER_WITH_AUTH
        | attribute::RESTRICTED
        | attribute::SIGN;
    let which = Value::of(ATTESTATION.as_bytes());
    Template::new(algorithm::ECC, attributes, &[]).signing(&which.0)
}

/// A key that signs what it is given. Its policy is its parent's: who can load it may use it.
pub(crate) fn signing() -> Result<Public, TrustError> {
    let attributes =
        OWN | attribute::SENSITIVE_DATA_ORIGIN | attribute::USER_WITH_AUTH | attribute::SIGN;
    Template::new(algorithm::ECC, attributes, &[]).signing(&[])
}

/// A key that keeps others. With a policy, nothing below it is loaded but by that policy.
pub(crate) fn storage(policy: Option<Value>) -> Result<Public, TrustError> {
    let by = if policy.is_none() {
        attribute::USER_WITH_AUTH
    } else {
        0
    };
    let attributes =
        OWN | attribute::SENSITIVE_DATA_ORIGIN | attribute::RESTRICTED | attribute::DECRYPT | by;
    let policy = policy.map(|policy| policy.0);
    Template::new(
        algorithm::ECC,
        attributes,
        policy.as_ref().map_or(&[], |policy| policy),
    )
    .half(algorithm::AES)
    .half(CIPHER_BITS)
    .half(algorithm::CFB)
    .half(algorithm::NULL)
    .half(algorithm::P256)
    .half(algorithm::NULL)
    .counted(&[])
    .counted(&[])
    .build()
}

/// A sealed secret.
pub(crate) fn sealed() -> Result<Public, TrustError> {
    Template::new(KEYED_HASH, OWN | attribute::USER_WITH_AUTH, &[])
        .half(algorithm::NULL)
        .counted(&[])
        .build()
}
