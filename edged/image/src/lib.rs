//! Images: where they come from and where they are kept.
//!
//! A [`Puller`] fetches an image from a registry (OCI distribution specification 1.1), [`load()`] takes one from an
//! archive, and both put its documents and layers into the [`ContentStore`], whose folder is itself an OCI image
//! layout (image specification 1.1). What comes out is an [`Image`]: parsed once, checked against itself, and pinned
//! to the digest of one manifest for this machine's platform.
//!
//! What it refuses to do: unpack a layer (the worker does that as another user, from the same folder), run anything,
//! speak plain HTTP to a registry that the configuration does not name, or keep a byte that does not hash to the
//! name it was asked for by.
//!
//! # Tasks and channels
//! Nothing runs by itself. A pull or a load lives in its caller's future; hashing and writing happen on the blocking
//! pool behind a channel of [`store::CHUNKS_IN_FLIGHT`] chunks, so that a slow disk slows the network down instead of
//! filling the memory. Dropping the future ends both; what was written of a layer stays in `partial/` and the next
//! pull goes on from there.
//!
//! # Invariants
//! - A file in `blobs/sha256` is whole, durable and hashes to its name.
//! - `index.json` is replaced whole: after a crash it is the old one or the new one.
//! - A blob that an index entry, an instance or a [`Pin`] reaches is never removed.
//! - No document above [`DOCUMENT_MAX`] bytes is held in memory, and no answer of a registry is read without a bound.

mod document;
mod error;
mod image;
pub mod load;
mod platform;
mod pull;
mod refusal;
mod signature;
pub mod store;

pub use document::DOCUMENT_MAX;
pub use error::ImageError;
pub use image::{ExposedPort, Image, ImageProcess, Layer, LayerMediaType};
pub use load::{load, load_as, load_folder};
pub use platform::Architecture;
pub use pull::{Credential, Patience, PullEvent, Puller, PullerConfig};
pub use refusal::Refusal;
pub use signature::ImageTrust;
pub use store::{Collected, ContentStore, Origin, Pin, Voucher};
