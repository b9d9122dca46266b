//! The signed image of a box.
//!
//! [`build()`] takes the kernel, the programs and Debian's packages and makes one unified kernel image of them ([`uki`]),
//! signed for UEFI Secure Boot ([`authenticode`]), and foretells what a TPM will hold when it has booted ([`golden`]).
//! [`bundle()`] makes a signed update of it; [`Image::write_disk`] puts it onto a [`disk`] or, for the Raspberry Pi, a card. [`measure`] reads the log of a real
//! boot and says which event was not as foretold. The same sources and keys give the same bits.

pub mod authenticode;
mod board;
mod build;
mod bundle;
mod crates;
mod der;
pub mod disk;
pub mod golden;
pub mod inventory;
mod licence;
pub mod measure;
pub mod pcr;
pub mod pe;
mod policy;
mod probe;
mod rpi;
mod sbom;
mod stub;
pub mod uki;
pub mod userspace;
mod verb;

pub use board::Board;
pub use build::{Image, Pieces, Request, build};
pub use bundle::bundle;
pub use probe::probe;
pub use verb::{Ingredients, Options, run};
