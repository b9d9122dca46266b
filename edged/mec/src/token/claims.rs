//! What a token says.

use serde::{Deserialize, Serialize};

/// What stands behind the keys of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Files: whoever copies the disk is the box.
    Software,
    /// A TPM, and the state that the box booted into.
    Tpm(BoxClaim),
}

impl Origin {
    /// The claims `box` and `keys`.
    pub(super) fn claims(&self) -> (Option<BoxClaim>, Option<String>) {
        match self {
            Self::Software => (None, Some("software".to_owned())),
            Self::Tpm(claim) => (Some(claim.clone()), None),
        }
    }
}

/// The box that a token comes from. It is read once a boot: after the start its registers stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxClaim {
    /// The TPM's name of the attestation key (TPM 2.0, part 1, 16), hexadecimal.
    pub key: String,
    /// What it booted.
    pub pcrs: PcrClaim,
    /// How often the TPM was reset: one more each boot.
    pub boot: u64,
    /// The release of the image, where it says one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<u64>,
}

/// Registers, as a quote has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrClaim {
    /// Which of the SHA-256 bank.
    pub selection: Vec<u8>,
    /// SHA-256 of their values one after the other, hexadecimal.
    pub digest: String,
}

/// What an application is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppClaim {
    /// `appInstanceId`.
    pub instance: String,
    /// The digest of the manifest that it was pinned to.
    pub image: String,
}

/// All claims of a token (RFC 7519, 4).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) scope: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) app: Option<AppClaim>,
    #[serde(rename = "box", skip_serializing_if = "Option::is_none", default)]
    pub(super) claimed: Option<BoxClaim>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) keys: Option<String>,
}
