//! The two images of a box on its boot partition, and which one starts.
//!
//! For umec-slot, the one program of a box that writes there, and for whoever lays out or looks at a disk from outside.
//! The boot partition is a FAT32 because the firmware reads one; no driver for it runs in a box. Both files have fixed
//! clusters, so that [`slots`] needs three kinds of write, each of which leaves a box that starts: into the clusters of
//! the slot that nothing depends on, into the sector that says what starts next, and into the one sector of the directory
//! that says which clusters are A's and which are B's. That one is the commit of an update.
//!
//! [`keeper`] says who may ask for which of them; [`door`] is where edged asks.
//!
//! Refuses: a partition that is not as the build laid it out; an image that does not fit; to write the allocation table.

pub mod door;
pub mod error;
pub mod fat;
pub mod find;
pub mod keeper;
pub mod lay;
pub mod medium;
pub mod next;
pub mod slots;
pub mod staged;

#[cfg(test)]
mod tests;

pub use edged_protocol::slot::{Image, Slot};
pub use error::SlotError;
pub use medium::{DiskFile, Medium, Partition};
pub use slots::Slots;
