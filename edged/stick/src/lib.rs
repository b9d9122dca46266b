//! The one bundle on a stick, read by a program that can do nothing else.
//!
//! An operator copies `2.update` onto a stick as shops sell them and plugs it in. The stick is the only medium of a box
//! whose content nobody has signed, so who reads it has nothing to lose. **edged** has no device at all. **umec-slot**,
//! which writes the boot partition, never sees the stick. **umec-stick** is started by systemd for one connection of
//! edged's, as root without a single capability, without a network, and with no device but disks of the kind `sd`, and
//! those for reading. It hears no word: that somebody connects is the question. It answers with one line
//! ([`edged_protocol::stick`]) and the bytes of the bundle, and ends. What the bytes are worth edged judges by their
//! signature, as it does those of every other source, and umec-slot once more.
//!
//! The kernel reads the partition table alone: it mounts nothing. FAT32 and exFAT are read here, in safe code and in so
//! much memory as one folder may take: [`volume`] knows where things are, [`fat`] and [`exfat`] read the top folder,
//! [`content`] follows a file. Lies of a file system are bounded, not hunted: nothing is read but what the sizes allow,
//! every cluster is in the volume, and a chain that loops gives bytes that no signature fits.
//!
//! Refuses: folders below the first, more than one bundle, a disk that is not on USB, to write.

pub mod content;
pub mod error;
pub mod exfat;
pub mod fat;
pub mod find;
pub mod volume;

pub use content::Content;
pub use error::StickError;
pub use volume::{File, Volume};
