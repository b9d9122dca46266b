//! What edged may ask of umec-slot: the two images on the boot partition, and which one starts next.
//!
//! No frame carries bytes or a path. What is written comes from the bundle that edged has staged, and umec-slot verifies
//! that bundle again itself: whoever has taken edged over can start nothing that was not signed for this board. Every
//! command may be given twice.

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// A place for an image, and the boot entry that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// `\EFI\umec\a.efi`, entry 1: what starts by itself.
    A,
    /// `\EFI\umec\b.efi`, entry 2: what starts once when it is armed, and where A is refused.
    B,
}

impl Slot {
    /// The one beside it.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "command",
    content = "data",
    rename_all = "kebab-case",
    deny_unknown_fields
)]
pub enum Command {
    /// How it stands; reads no image.
    Look {},
    /// What is in a slot, read from the medium itself: a second or two.
    Hash {
        /// Which.
        slot: Slot,
    },
    /// Verify the staged bundle, put its image into B, and read it back from the medium. Refused unless A holds what
    /// runs: B is never overwritten while it may be all that starts.
    Write {},
    /// Let B start once, at the next start. Refused unless B holds, byte for byte, the image of the staged bundle, and
    /// that bundle is for this board and newer than what runs.
    Arm {},
    /// Let A start at the next start. Whether B was armed does not matter.
    Disarm {},
    /// The commit: A and B change places, in one sector. Refused unless B was started and holds, byte for byte, the
    /// image of the staged bundle, whose number is the running image's. Ends the trial: nothing resets the box any more.
    /// Where they have changed places before, it answers the same.
    Exchange {},
    /// Copy an image to the other slot and read it back. Refused unless `from` holds what runs.
    Mirror {
        /// Which one is copied.
        from: Slot,
    },
    /// Raise the TPM's counter to the running image's number: no older image starts on this box from then on. Refused
    /// unless A holds what runs, and without a TPM.
    Raise {},
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "data", rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, and durable.
    Done {},
    /// How it stands.
    Looked(Slots),
    /// What is in a slot; or what was written there and read back.
    Hashed(Image),
    /// The counter's value now.
    Raised {
        /// The lowest release that starts.
        floor: u64,
    },
    /// It was not done.
    Refused(Refusal),
}

/// How the slots stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// By which entry this boot was started.
    pub booted: Slot,
    /// Where the image that runs lies now: not where it was started from, once they have changed places.
    pub running: Slot,
    /// Number of the image that runs.
    pub release: u64,
    /// Bytes in A.
    pub a: u64,
    /// Bytes in B.
    pub b: u64,
    /// Most bytes that a slot takes.
    pub room: u64,
    /// Whether B starts next.
    pub armed: bool,
    /// Whether a trial was begun and not ended: B was armed, and has not been exchanged or disarmed since. A box that was
    /// started from B is reset when its trial does not end in its time.
    pub trial: bool,
    /// The lowest release that starts, by the TPM's counter; `None`: no TPM that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of them, in lower-case hexadecimal digits.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, decode, encode};

    #[test]
    fn a_frame_names_a_slot_by_its_letter() {
        let frame = Frame {
            message: Command::Mirror { from: Slot::A },
            id: Some(1),
        };
        let line = encode(&frame).unwrap();
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            "{\"command\":\"mirror\",\"data\":{\"from\":\"a\"},\"id\":1}\n"
        );
        assert_eq!(decode::<Command>(&line).unwrap(), frame);
    }

    #[test]
    fn a_frame_that_names_a_path_is_refused() {
        assert!(
            decode::<Command>(b"{\"command\":\"write\",\"data\":{\"path\":\"/etc\"},\"id\":1}")
                .is_err()
        );
    }
}
