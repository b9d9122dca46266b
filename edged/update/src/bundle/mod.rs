//! One signed file with everything of an update.
//!
//! ```text
//! "UMECUPD1" | u32 length | manifest, JSON | u16 length | signature | uki | golden.json | sbom.spdx.json
//! ```
//!
//! Numbers are little-endian. The signature is RSASSA-PKCS1-v1_5 with SHA-256 by the key `update` (RSA-3072) over
//! everything before its length. The parts follow in the manifest's order with the sizes and digests that it says;
//! nothing follows them.

mod image;
mod intake;
mod key;
mod make;
mod manifest;
mod read;

pub use intake::Intake;
pub use key::{Succession, Successor, UpdateKey};
pub use make::{assemble, signed};
pub use manifest::{Manifest, Part, PartEntry, Schema};
pub use read::{Bundle, Here, SchemaHere};

/// What a bundle begins with.
pub(crate) const MAGIC: &[u8; 8] = b"UMECUPD1";
/// The manifest's format that is read and made here.
pub const FORMAT: u32 = 1;
/// Longest manifest: eight successors of a kilobyte each and some lines.
pub const MANIFEST_MAX: usize = 64 << 10;
/// A signature by RSA-3072.
pub(crate) const SIGNATURE: usize = 384;
/// Largest `golden.json`: some hundred events, ten times over.
pub(crate) const GOLDEN_MAX: u64 = 1 << 20;
/// Largest bill of materials: it is below 1 MB for some 450 packages.
pub(crate) const SBOM_MAX: u64 = 16 << 20;
