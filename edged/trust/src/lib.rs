//! The keys of a box in its TPM, and what the TPM says of the box.
//!
//! [`Keeper`] is one thread that asks one [`Tpm`]; everybody else sends it questions. A box has an attestation key that
//! signs only what the TPM itself says ([`Tpm::quote`], [`Tpm::certify`]), keys for [`Purpose`]s, and secrets that are
//! sealed. All but the first are below a storage key whose policy is the [`Guard`]'s: it opens for images that the policy
//! key has signed for, and in no other state of the machine. So the policy is paid when a key is loaded, and a signature
//! is one command. Without a guard they are bound to the TPM alone.
//!
//! It refuses to go on with objects of another TPM, or of another policy key: a copy of a disk is not the box.
//!
//! # Invariants
//! - At most one key stays loaded, and no session outlives the call that began it: a TPM has room for three of each.
//! - Nothing is kept that the TPM, its folder and the image do not know: a killed process leaves nothing to repair.

mod blob;
mod error;
mod guard;
mod keeper;
mod object;
mod template;
mod tpm;

pub use error::TrustError;
pub use guard::Guard;
pub use keeper::Keeper;
pub use tpm::{Purpose, Quote, Settings, Tpm};
