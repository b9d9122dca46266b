//! A secret that only one TPM can read, and only if it also has a certain other key (`TPM2_MakeCredential`; TPM 2.0
//! Library, part 1, 24): how a box proves that its attestation key lives beside its endorsement key.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::key::Public;
use crate::pcr::Value;
use crate::wire::{WireError, counted};

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// What is sent to the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credential {
    /// `TPM2B_ID_OBJECT` without its size.
    pub blob: Bytes,
    /// `TPM2B_ENCRYPTED_SECRET` without its size.
    pub secret: Bytes,
}

/// What the box answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activated {
    /// What was in the credential.
    pub secret: Bytes,
}

/// Why no credential can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Another kind of key.
    #[error("the endorsement key is not on the curve P-256")]
    Endorsement,
    /// No randomness, or the key is no point of the curve.
    #[error("no key can be agreed with the endorsement key")]
    Agreement,
    /// Too much to tell.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Credential {
    /// Hides `secret` for the TPM with this endorsement key, should it have an object of this name as well.
    ///
    /// # Errors
    /// The endorsement key is of another kind.
    pub fn make(endorsement: &Public, name: &[u8], secret: &[u8]) -> Result<Self, CredentialError> {
        let theirs = endorsement.point().ok_or(CredentialError::Endorsement)?;
        let random = SystemRandom::new();
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &random)
            .map_err(|_| CredentialError::Agreement)?;
        let public = own
            .compute_public_key()
            .map_err(|_| CredentialError::Agreement)?;
        let halves = |point: &[u8]| -> Option<(Vec<u8>, Vec<u8>)> {
            let (x, y) = point.get(1..)?.split_at_checked(32)?;
            Some((x.to_vec(), y.to_vec()))
        };
        let (x, y) = halves(public.as_ref()).ok_or(CredentialError::Agreement)?;
        let (their_x, _) = halves(&theirs).ok_or(CredentialError::Endorsement)?;
        let seed = agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, theirs), |shared| {
            kdf_e(shared, "IDENTITY", &x, &their_x)
        })
        .map_err(|_| CredentialError::Agreement)?;
        let mut hidden = counted(secret)?;
        let cipher = kdf_a(&seed, "STORAGE", name, 128);
        encrypt(&cipher, &mut hidden)?;
        let mac = hmac::Key::new(HMAC_SHA256, &kdf_a(&seed, "INTEGRITY", &[], 256));
        let mac = hmac::sign(&mac, &[hidden.as_slice(), name].concat());
        let point = [counted(&x)?, counted(&y)?].concat();
        Ok(Self {
            blob: [counted(mac.as_ref())?, hidden].concat().into(),
            secret: point.into(),
        })
    }
}

/// `KDFe` (part 1, 11.4.10.3), one round: all keys here have at most 256 bits.
fn kdf_e(shared: &[u8], label: &str, one: &[u8], other: &[u8]) -> [u8; 32] {
    let round = 1u32.to_be_bytes();
    Value::of(&[&round, shared, label.as_bytes(), &[0], one, other].concat()).0
}

/// `KDFa` (part 1, 11.4.10.2), one round.
fn kdf_a(key: &[u8], label: &str, context: &[u8], bits: u32) -> Vec<u8> {
    let key = hmac::Key::new(HMAC_SHA256, key);
    let round = 1u32.to_be_bytes();
    let text = [&round, label.as_bytes(), &[0], context, &bits.to_be_bytes()].concat();
    let whole = hmac::sign(&key, &text);
    let length = usize::try_from(bits / 8).unwrap_or(usize::MAX);
    whole.as_ref().iter().copied().take(length).collect()
}

/// AES-128 in cipher feedback, from a vector of zeros (SP 800-38A, 6.3).
fn encrypt(key: &[u8], bytes: &mut [u8]) -> Result<(), CredentialError> {
    let cipher = Aes128::new_from_slice(key).map_err(|_| CredentialError::Agreement)?;
    let mut feedback = [0; BLOCK];
    for block in bytes.chunks_mut(BLOCK) {
        let mut stream = feedback.into();
        cipher.encrypt_block(&mut stream);
        for (byte, key) in block.iter_mut().zip(stream) {
            *byte ^= key;
        }
        for (next, byte) in feedback.iter_mut().zip(block) {
            *next = *byte;
        }
    }
    Ok(())
}
