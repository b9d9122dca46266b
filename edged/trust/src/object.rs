//! What a TPM has: keys that stay, keys made anew, sessions, registers.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

use edged_evidence::REGISTERS;
use edged_evidence::pcr::Value;
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek, pcr};
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Attest, CapabilityData, PcrSelectionList, PcrSlot, Public, Signature, SymmetricDefinition,
};
use tss_esapi::traits::Marshall as _;
use tss_esapi::{Context, TctiNameConf};

use crate::blob::Blob;
use crate::error::{Asked as _, TrustError, is_foreign};
use crate::guard::{Guard, flush};
use crate::template;
use crate::tpm::Quote;

/// The storage root key, where systemd and everybody else has it (TCG Provisioning Guidance, 7.8).
const STORAGE_ROOT: u32 = 0x8100_0001;
/// Our attestation key; the range is the endorsement hierarchy's (TCG Registry of Reserved Handles).
const ATTESTATION: u32 = 0x8101_0010;
/// The first of the objects that a TPM has in memory.
const TRANSIENT: u32 = 0x8000_0000;
/// As many handles as a TPM is asked for at once: more than any has in one range.
const HANDLES: u32 = 64;

pub(crate) fn connect(place: &str) -> Result<Context, TrustError> {
    let absent = |error: tss_esapi::Error| TrustError::Absent {
        place: place.to_owned(),
        reason: error.to_string(),
    };
    let mut context = TctiNameConf::from_str(place)
        .and_then(Context::new)
        .map_err(absent)?;
    // Without a resource manager, what a killed process had loaded is still in the TPM's memory. With one this is empty.
    for handle in handles(&mut context, TRANSIENT)? {
        let left = TpmHandle::try_from(handle)
            .and_then(|handle| context.tr_from_tpm_public(handle))
            .asked("name what is in its memory")?;
        flush(&mut context, left)?;
    }
    Ok(context)
}

/// The handles that are in use from this one on, of its kind.
pub(crate) fn handles(context: &mut Context, from: u32) -> Result<Vec<u32>, TrustError> {
    let (data, _) = context
        .execute_without_session(|context| {
            context.get_capability(CapabilityType::Handles, from, HANDLES)
        })
        .asked("list what it has")?;
    Ok(match data {
        CapabilityData::Handles(list) => list.into_inner().into_iter().map(u32::from).collect(),
        _ => Vec::new(),
    })
}

/// A key that stays in the TPM over a loss of power: found, or made and left there.
fn persistent(
    context: &mut Context,
    handle: u32,
    hierarchy: Hierarchy,
    template: impl FnOnce() -> Result<Public, TrustError>,
) -> Result<KeyHandle, TrustError> {
    const WHAT: &str = "keep a key";
    let place = PersistentTpmHandle::new(handle).asked(WHAT)?;
    if handles(context, handle)?.first() == Some(&handle) {
        let found = context
            .execute_without_session(|context| {
                context.tr_from_tpm_public(TpmHandle::Persistent(place))
            })
            .asked("show a key that it keeps")?;
        return Ok(found.into());
    }
    let template = template()?;
    context
        .execute_with_session(Some(AuthSession::Password), |context| {
            let made = context.create_primary(hierarchy, template, None, None, None, None)?;
            let made = ObjectHandle::from(made.key_handle);
            let kept = context.evict_control(Provision::Owner, made, Persistent::Persistent(place));
            context.flush_context(made)?;
            kept
        })
        .map(KeyHandle::from)
        .asked(WHAT)
}

pub(crate) fn attestation(context: &mut Context) -> Result<KeyHandle, TrustError> {
    persistent(
        context,
        ATTESTATION,
        Hierarchy::Endorsement,
        template::attestation,
    )
}

pub(crate) fn endorsement_curve() -> AsymmetricAlgorithmSelection {
    AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256)
}

/// The endorsement key, made anew: it is the same each time.
pub(crate) fn endorsement(context: &mut Context) -> Result<(KeyHandle, Vec<u8>), TrustError> {
    const WHAT: &str = "make its endorsement key";
    let template = ek::create_ek_public_from_default_template_2(endorsement_curve(), None);
    let template = template.asked(WHAT)?;
    let made = context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Endorsement, template, None, None, None, None)
        })
        .asked(WHAT)?;
    let raw = made.out_public.marshall().asked(WHAT)?;
    Ok((made.key_handle, raw))
}

/// The key that all others of the box are below, loaded.
pub(crate) fn storage(
    context: &mut Context,
    path: &Path,
    guard: Option<&Guard>,
) -> Result<KeyHandle, TrustError> {
    const WHAT: &str = "make its storage key";
    let root = persistent(context, STORAGE_ROOT, Hierarchy::Owner, || {
        template::storage(None)
    })?;
    let policy = guard.map(Guard::policy);
    let blob = Blob::kept(path, || {
        let public = template::storage(policy)?;
        let made = context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.create(root, public, None, None, None, None)
            })
            .asked(WHAT)?;
        Ok(Blob::new(made.out_public, made.out_private))
    })?;
    let made_for = blob.public.auth_policy().value();
    if made_for != policy.as_ref().map_or(&[][..], |policy| &policy.0) {
        return Err(TrustError::OtherPolicy {
            path: path.to_owned(),
        });
    }
    context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.load(root, blob.private, blob.public)
        })
        .map_err(|error| {
            if is_foreign(error) {
                TrustError::Foreign {
                    path: path.to_owned(),
                }
            } else {
                TrustError::Command {
                    what: "load its storage key",
                    reason: error.to_string(),
                }
            }
        })
}

/// Runs something in a policy session, which ends however it went: a TPM has room for three.
pub(crate) fn with_policy<T>(
    context: &mut Context,
    satisfy: impl FnOnce(&mut Context, PolicySession) -> Result<(), TrustError>,
    run: impl FnOnce(&mut Context, AuthSession) -> Result<T, TrustError>,
) -> Result<T, TrustError> {
    const WHAT: &str = "begin a session";
    let session = context
        .execute_without_session(|context| {
            context.start_auth_session(
                None,
                None,
                None,
                SessionType::Policy,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })
        .asked(WHAT)?
        .ok_or(TrustError::Command {
            what: WHAT,
            reason: "it gave none".to_owned(),
        })?;
    let policy = PolicySession::try_from(session).asked(WHAT)?;
    let done = satisfy(context, policy).and_then(|()| run(context, session));
    let ended = flush(context, SessionHandle::from(session).into());
    let done = done?;
    ended?;
    Ok(done)
}

fn slot(number: u8) -> tss_esapi::Result<PcrSlot> {
    PcrSlot::try_from(1u32 << number)
}

pub(crate) fn selection() -> tss_esapi::Result<PcrSelectionList> {
    let slots = REGISTERS.iter().map(|number| slot(*number));
    PcrSelectionList::builder()
        .with_selection(
            HashingAlgorithm::Sha256,
            &slots.collect::<tss_esapi::Result<Vec<_>>>()?,
        )
        .build()
}

pub(crate) fn registers(context: &mut Context) -> Result<BTreeMap<u8, Value>, TrustError> {
    const WHAT: &str = "show its registers";
    let data = context
        .execute_without_session(|context| pcr::read_all(context, selection()?))
        .asked(WHAT)?;
    let bank = data.pcr_bank(HashingAlgorithm::Sha256);
    let held = REGISTERS.iter().map(|number| {
        let digest = bank.and_then(|bank| bank.get_digest(slot(*number).ok()?));
        let value = digest.and_then(|digest| digest.value().try_into().ok());
        let value = value.ok_or(TrustError::Command {
            what: WHAT,
            reason: "it has no bank of SHA-256".to_owned(),
        })?;
        Ok((*number, Value(value)))
    });
    held.collect()
}

pub(crate) fn said(attest: &Attest, signature: &Signature) -> Result<Quote, TrustError> {
    Ok(Quote {
        attest: attest.marshall().asked("write what it says")?,
        signature: signature.marshall().asked("write its signature")?,
    })
}
