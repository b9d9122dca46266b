//! `trust`: what the box can prove of itself.

use clap::Subcommand;
use edged_model::Nonce;
use serde::{Deserialize, Serialize};

use crate::image_trust::{ImageKeyVerb, PolicyVerb};

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
