//! Keys of the boot chain: made, kept, held elsewhere, changed.
//!
//! A folder holds one set of [`Keys`]: for each [`Name`] a private key (`NAME.key`, mode 0600), its public half
//! (`NAME.pub`), and a certificate (`NAME.crt`) where UEFI wants one. `keys.toml` names keys that are held elsewhere,
//! in a PKCS#11 token or behind a signing command ([`Signer`]). A file `DEVELOPMENT` marks a set that nobody keeps
//! safe; whatever is built with it says so.
//!
//! [`Keys::seed`] gives the variables (PK, KEK, db, dbx, and what is started) that U-Boot carries inside.

mod authenticode;
mod boot;
mod change;
mod encoding;
mod holding;
mod make;
mod name;
mod sign;
mod signatures;
mod store;
mod variables;
mod verb;

pub use authenticode::authenticode;
pub use boot::SLOTS;
pub use holding::{Reach, Signer};
pub use make::NEEDS;
pub use name::{Algorithm, Name};
pub use signatures::{ImageHash, Signatures};
pub use store::Keys;
pub use variables::{Variable, Variables};
pub use verb::{Options, run};
