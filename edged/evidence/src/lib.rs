//! What a TPM and a measured boot say, and whether it is true: pure.
//!
//! [`pcr`] are registers and what is put into them, [`log`] reads a firmware's event log and says which event was not as
//! the build foretold ([`golden`]). [`Evidence`] is what a box sends; [`verify()`] believes it or gives one [`Refusal`].
//! [`Credential`] is how a box proves whose attestation key it has, and [`policy`] computes what a TPM seals to.
//!
//! Whatever comes from outside is read strictly: nothing cut off, nothing left over, no algorithm that a box does not use.
//! Nothing here asks a TPM, a clock or a network.

pub mod attest;
mod bytes;
mod credential;
mod der;
mod evidence;
pub mod golden;
pub mod key;
pub mod log;
pub mod pcr;
pub mod policy;
mod refusal;
mod text;
mod verify;
pub mod wire;

pub use bytes::Bytes;
pub use credential::{Activated, Credential, CredentialError};
pub use evidence::{Evidence, Identity, REGISTERS, hash, qualifying};
pub use key::{Public, Signature};
pub use refusal::Refusal;
pub use text::{printable, printable_json};
pub use verify::{Expectation, Verdict, verify};
