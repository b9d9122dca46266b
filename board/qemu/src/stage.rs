//! Stages of the chain, and the words by which each of them refuses or goes on.

use std::fmt;

use serde::Serialize;

/// What can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// TF-A's first stage, the root of trust: refuses BL2.
    #[serde(rename = "BL1")]
    Bl1,
    /// TF-A's second stage: refuses BL31, OP-TEE and U-Boot.
    #[serde(rename = "BL2")]
    Bl2,
    /// UEFI Secure Boot: refuses an image.
    #[serde(rename = "U-Boot")]
    UBoot,
    /// The image's own first program: refuses what nobody signed and is there nevertheless.
    #[serde(rename = "umec-init")]
    Init,
    /// The image's own first program, by the TPM: the TPM does not give the key of the data.
    #[serde(rename = "data partition")]
    Data,
}

impl Stage {
    /// What is said once this stage has let pass what it looks at.
    pub(crate) const fn passed(self) -> &'static str {
        match self {
            Self::Bl1 => "BL2: v",
            Self::Bl2 => "BL31: v",
            Self::UBoot => "EFI stub: ",
            Self::Init => "uMEC ",
            Self::Data => "DATA-READY",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bl1 => "BL1",
            Self::Bl2 => "BL2",
            Self::UBoot => "U-Boot",
            Self::Init => "umec-init",
            Self::Data => "data partition",
        })
    }
}

/// Who refuses by which words. TF-A 2.12's `bl1_main.c` and `bl2_image_load_v2.c`; the last command of our U-Boot
/// (u-boot/), which runs only when the boot manager has refused every entry; our own first program (edged/init).
const REFUSALS: &[(&str, Stage)] = &[
    ("Failed to load BL2 firmware", Stage::Bl1),
    ("BL2: Failed to load image", Stage::Bl2),
    ("EFI-BOOT-REFUSED", Stage::UBoot),
    ("UMEC-INIT-REFUSED", Stage::Init),
    ("DATA-REFUSED", Stage::Data),
];

/// By which words a box says that it serves: its unit prints them when edged is ready.
pub const READY: &str = "EDGED-READY";
/// Begins the line with the box's key at the door, so that nobody has to trust the first connection.
pub const HOST_KEY: &str = "SSH-HOST-KEY ";

/// Who refuses with this line, if it is a refusal.
pub fn refusal(line: &str) -> Option<Stage> {
    let found = REFUSALS.iter().find(|(words, _)| line.contains(words));
    found.map(|(_, stage)| *stage)
}

/// Moments of a boot that are worth a figure, and the words by which each is recognised.
pub const MOMENTS: &[(&str, &str)] = &[
    ("BL2", "BL1: Booting BL2"),
    ("BL31", "BL31: v"),
    ("U-Boot", "U-Boot 20"),
    ("kernel", "EFI stub: "),
    ("umec-init", "uMEC "),
    ("edged", READY),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_stage_and_nothing_else_is_one() {
        for (line, stage) in [
            ("ERROR:   Failed to load BL2 firmware.", Some(Stage::Bl1)),
            (
                "ERROR:   BL2: Failed to load image id 5 (-80)",
                Some(Stage::Bl2),
            ),
            ("EFI-BOOT-REFUSED", Some(Stage::UBoot)),
            ("umec-init: DATA-REFUSED: policy", Some(Stage::Data)),
            ("Loading Boot0001 'A' failed", None),
            ("NOTICE:  BL31: v2.12.1(release)", None),
        ] {
            assert_eq!(refusal(line), stage, "{line}");
        }
    }
}
