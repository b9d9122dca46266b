//! `trust`: what the box can prove of itself.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::image_trust::{ImageKeyVerb, PolicyVerb};

/// Fewest and most bytes of a nonce: as many as nobody guesses, and what a TPM takes beside its own data (`TPM2B_DATA`).
const NONCE: std::ops::RangeInclusive<usize> = 8..=32;

/// What is asked of a box about itself.
#[derive(Debug, Clone, Subcommand)]
pub enum ProofVerb {
    /// Show which promises hold: identity, keys, sealed secrets, measured boot; ends with 1 where one is broken.
    Status,
    /// Show who the box is, as its TPM says it, as JSON; `edgectl trust enrol` asks for a proof and remembers it.
    Enrol {
        /// A credential that only this box's TPM can open, as JSON; edgectl makes it.
        #[arg(long, value_name = "JSON", hide = true)]
        credential: Option<String>,
    },
    /// Show what the box booted, signed by its TPM, as JSON; `edgectl trust verify` asks and checks.
    Attest {
        /// What nobody asked for before, in hexadecimal: the answer is for this question alone.
        #[arg(long, value_name = "HEX")]
        nonce: Nonce,
        /// Sign the nonce alone, as tpm2-tools expects it.
        #[arg(long)]
        plain: bool,
    },
    /// List the box's own keys and where they are kept; say whose images are taken; make operators for a while.
    Keys {
        /// What to do with the keys of others.
        #[command(subcommand)]
        images: Option<ImageKeyVerb>,
    },
    /// Show and change whose signature images need, by where they come from.
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Show the registers (PCR) of the SHA-256 bank.
    Pcrs,
    /// Write the log of what was measured to standard output, as the firmware left it.
    Log,
}

impl ProofVerb {
    /// Whether it shows what anybody may see of a box that is nobody's yet.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(
            self,
            Self::Keys { images: Some(_) } | Self::Policy(PolicyVerb::Set { .. })
        )
    }

    /// Whether it reads standard input.
    pub(crate) fn reads_input(&self) -> bool {
        matches!(
            self,
            Self::Keys {
                images: Some(ImageKeyVerb::Add(_) | ImageKeyVerb::Issue(_))
            } | Self::Policy(PolicyVerb::Set { .. })
        )
    }

    /// The file on the caller's machine that is to be standard input.
    pub(crate) fn input_file(&self) -> Option<&str> {
        match self {
            Self::Keys {
                images: Some(ImageKeyVerb::Add(key)),
            } => key.file.as_deref(),
            Self::Keys {
                images: Some(ImageKeyVerb::Issue(key)),
            } => key.file.as_deref(),
            Self::Policy(PolicyVerb::Set { file }) => file.as_deref(),
            _ => None,
        }
    }
}

/// A number that is used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(pub Vec<u8>);

impl std::str::FromStr for Nonce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            // A sign would be taken as a digit.
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        digits
            .filter(|bytes| text.len().is_multiple_of(2) && NONCE.contains(&bytes.len()))
            .map(Self)
            .ok_or_else(|| {
                let (least, most) = (NONCE.start() * 2, NONCE.end() * 2);
                format!("a nonce has {least} to {most} hexadecimal digits, two a byte")
            })
    }
}

/// One of the box's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// What it is for.
    pub name: String,
    /// Where it is kept: `tpm`, `sealed` (in memory while edged runs) or `software`.
    pub place: String,
    /// SHA-256 of its public half, hexadecimal.
    pub fingerprint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_eight_to_thirty_two_bytes_of_hexadecimal() {
        assert_eq!("00ff00ff00ff00ff".parse(), Ok(Nonce([0, 255].repeat(4))));
        for text in [
            "",
            "00ff",
            "00ff00ff00ff00f",
            "00ff00ff00ff00fg",
            &"00".repeat(33),
            "+1+1+1+1+1+1+1+1",
        ] {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
        }
    }
}
