//! The typed frames between edged, its worker, its guardian, umec-slot and umec-stick.
//!
//! One frame is one JSON object on one line: `{"command": "...", "data": ..., "id": N}`. A request carries an `id` that
//! its reply repeats; an event has none. Nothing in a frame assumes that both ends share a machine: containers,
//! layers and links are named by instance, digest and lease, never by a path.
//!
//! A server takes one connection at a time and checks the peer's credentials; a newer connection of the same user
//! replaces the older one, because the older one's process is the one that was killed.

#[cfg(feature = "client")]
pub mod client;
pub mod frame;
pub mod guardian;
pub mod secret;
pub mod slot;
pub mod stick;
pub mod worker;

pub use frame::{FRAME_MAX, Frame, FrameError, Refusal, decode, encode};
pub use secret::Secret;
