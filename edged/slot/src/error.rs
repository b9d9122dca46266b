//! Why a boot partition is not used.

/// One sentence each.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The device's.
    #[error("the boot partition cannot be {doing}: {source}")]
    Device {
        /// Read or written.
        doing: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Not as the build lays it out.
    #[error("the boot partition is damaged: {0}; write the disk anew, its data stays")]
    Damaged(&'static str),
    /// A file is not there.
    #[error("the boot partition has no {0}; write the disk anew, its data stays")]
    Missing(&'static str),
    /// An image does not fit.
    #[error("the image has {size} bytes and slot {slot} takes {room}")]
    TooLarge {
        /// Which.
        slot: edged_protocol::slot::Slot,
        /// The image's.
        size: u64,
        /// The slot's.
        room: u64,
    },
    /// The source of an image.
    #[error("the image cannot be read: {0}")]
    Source(std::io::Error),
    /// Somebody has changed the bytes between, or the medium does not keep them.
    #[error(
        "slot {0} does not hold what was written to it: the medium is worn out, or the file changed meanwhile"
    )]
    ReadBack(edged_protocol::slot::Slot),
}
