//! The policy of what this box keeps in its TPM: it opens for whatever image the policy key has signed for, in the phase in
//! which the box runs (TPM 2.0 Library, part 1, 19.7.12 `TPM2_PolicyAuthorize`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_evidence::pcr::Value;
use edged_evidence::{Public as Key, policy};
use serde::Deserialize;
use tss_esapi::Context;
use tss_esapi::handles::ObjectHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{
    Digest, Name, Nonce, PcrSelectionList, PcrSlot, Public, PublicKeyRsa, RsaSignature, Signature,
};
use tss_esapi::traits::UnMarshall as _;

use crate::error::{Asked as _, TrustError};

/// Largest file of signatures: a few hundred bytes each.
const LARGEST: u64 = 64 << 10;

/// Whose word opens what the TPM keeps.
#[derive(Debug, Clone)]
pub struct Guard {
    key: Key,
    signatures: PathBuf,
}

/// A signature in systemd's form (`tpm2-pcr-signature.json`), under a name of its own: systemd looks up banks.
#[derive(Debug, Deserialize)]
struct Signatures {
    #[serde(rename = "umec-running", default)]
    running: Vec<Signed>,
}

#[derive(Debug, Deserialize)]
struct Signed {
    pol: String,
    sig: String,
}

impl Guard {
    /// The policy key (PEM, RSA) of a file, and the file in which the image brings its signatures.
    ///
    /// # Errors
    /// There is no such key.
    pub fn read(key: &Path, signatures: &Path) -> Result<Self, TrustError> {
        let text = std::fs::read_to_string(key).map_err(|error| TrustError::File {
            path: key.to_owned(),
            reason: error.to_string(),
        })?;
        let parsed = Key::rsa_from_pem(&text);
        Ok(Self {
            key: parsed.ok_or_else(|| TrustError::Malformed {
                path: key.to_owned(),
            })?,
            signatures: signatures.to_owned(),
        })
    }

    /// The policy that objects are made with.
    pub(crate) fn policy(&self) -> Value {
        policy::authorized(&self.key.name(), policy::running())
    }

    /// Satisfies a session with the signature for what PCR 11 holds now.
    pub(crate) fn satisfy(
        &self,
        context: &mut Context,
        session: PolicySession,
    ) -> Result<(), TrustError> {
        let selection = PcrSelectionList::builder()
            .with_selection(HashingAlgorithm::Sha256, &[PcrSlot::Slot11])
            .build()
            .asked("know PCR 11")?;
        context
            .policy_pcr(session, Digest::default(), selection)
            .asked("look at PCR 11")?;
        let held = context
            .policy_get_digest(session)
            .asked("say what policy holds")?;
        let approved = Value(<[u8; 32]>::try_from(held.clone()).asked("use SHA-256")?);
        let signature = self.signature(approved)?;
        let signature = PublicKeyRsa::try_from(signature)
            .and_then(|bytes| RsaSignature::create(HashingAlgorithm::Sha256, bytes))
            .asked("know this kind of signature")?;
        let message = policy::to_sign(approved, policy::running());
        let message = Digest::try_from(Value::of(&message).0.as_slice()).asked("hash")?;
        let public = Public::unmarshall(self.key.raw()).asked("know the policy key")?;
        // A key without a hierarchy would give a ticket without a worth.
        let key = context
            .load_external_public(public, Hierarchy::Owner)
            .asked("take the policy key")?;
        let verified = context.verify_signature(key, message, Signature::RsaSsa(signature));
        flush(context, key.into())?;
        let ticket = verified.map_err(|_| {
            TrustError::Policy("the signature for this image is not the policy key's".to_owned())
        })?;
        let name = Name::try_from(self.key.name()).asked("know the policy key")?;
        let purpose = Nonce::try_from(policy::running().0.as_slice())
            .asked("know the purpose of a policy")?;
        context
            .policy_authorize(session, held, purpose, &name, ticket)
            .asked("take the policy key's word")
    }

    fn signature(&self, policy: Value) -> Result<Vec<u8>, TrustError> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(&self.signatures)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .map_err(|error| TrustError::File {
                path: self.signatures.clone(),
                reason: error.to_string(),
            })?;
        let all: Signatures = serde_json::from_str(&text).map_err(|error| TrustError::File {
            path: self.signatures.clone(),
            reason: error.to_string(),
        })?;
        let policy = policy.to_string();
        all.running
            .iter()
            .find(|one| one.pol == policy)
            .and_then(|one| STANDARD.decode(&one.sig).ok())
            .ok_or_else(|| {
                TrustError::Policy(
                    "PCR 11 holds nothing that the policy key has signed for: another image, or another phase of the boot"
                        .to_owned(),
                )
            })
    }
}

/// Takes an object out of the TPM's memory.
pub(crate) fn flush(context: &mut Context, object: ObjectHandle) -> Result<(), TrustError> {
    context.flush_context(object).asked("forget an object")
}
