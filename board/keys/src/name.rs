//! The keys of a box, by name.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// A key of the boot chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// TF-A's root of trust: its hash is in BL1.
    Rot,
    /// TF-A's trusted world.
    TrustedWorld,
    /// TF-A's non-trusted world.
    NonTrustedWorld,
    /// BL31's content certificate.
    Bl31,
    /// BL32's (OP-TEE's) content certificate.
    Bl32,
    /// BL33's (U-Boot's) content certificate.
    Bl33,
    /// UEFI's platform key.
    Pk,
    /// UEFI's key exchange key.
    Kek,
    /// Signs unified kernel images; its certificate is in UEFI's db.
    Db,
    /// Signs trusted applications.
    Ta,
    /// Signs the values of PCR 11 at which the data partition opens.
    PcrPolicy,
    /// Signs updates.
    Update,
    /// Opens a fresh box over SSH.
    Commissioning,
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with this many bits.
    Rsa(u32),
    /// Ed25519, as OpenSSH keeps it.
    Ed25519,
}

impl Name {
    /// All of them, in the order of the chain.
    pub const ALL: [Self; 13] = [
        Self::Rot,
        Self::TrustedWorld,
        Self::NonTrustedWorld,
        Self::Bl31,
        Self::Bl32,
        Self::Bl33,
        Self::Ta,
        Self::Pk,
        Self::Kek,
        Self::Db,
        Self::PcrPolicy,
        Self::Update,
        Self::Commissioning,
    ];

    /// As in file names and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rot => "rot",
            Self::TrustedWorld => "trusted-world",
            Self::NonTrustedWorld => "non-trusted-world",
            Self::Bl31 => "bl31",
            Self::Bl32 => "bl32",
            Self::Bl33 => "bl33",
            Self::Pk => "pk",
            Self::Kek => "kek",
            Self::Db => "db",
            Self::Ta => "ta",
            Self::PcrPolicy => "pcr-policy",
            Self::Update => "update",
            Self::Commissioning => "commissioning",
        }
    }

    /// What it is for, in a few words.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Rot => "root of trust; its hash is in BL1, and it signs BL2",
            Self::TrustedWorld => "names the keys of BL31 and BL32",
            Self::NonTrustedWorld => "names the key of BL33",
            Self::Bl31 => "signs BL31",
            Self::Bl32 => "signs OP-TEE",
            Self::Bl33 => "signs U-Boot",
            Self::Pk => "UEFI platform key",
            Self::Kek => "UEFI key exchange key",
            Self::Db => "signs unified kernel images",
            Self::Ta => "signs trusted applications",
            Self::PcrPolicy => "signs the PCR 11 at which the data opens",
            Self::Update => "signs updates",
            Self::Commissioning => "opens a fresh box over SSH",
        }
    }

    /// What has to happen after it was changed.
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Rot => {
                "boxes that are out keep the old hash in BL1; they take new firmware only with a new flash image"
            }
            Self::TrustedWorld
            | Self::NonTrustedWorld
            | Self::Bl31
            | Self::Bl32
            | Self::Bl33
            | Self::Pk
            | Self::Kek => "build the firmware anew",
            Self::Db => {
                "build the firmware anew and install it before an image that is signed by the new key"
            }
            Self::Ta => {
                "build the firmware anew and sign the trusted applications again; others are refused"
            }
            Self::PcrPolicy => {
                "data partitions are sealed to the old key: enrol the new one on each box, or have its recovery key at hand"
            }
            Self::Update => {
                "make the next update as ever: it carries the old key's word for the new one, and boxes know the new one alone once they have confirmed it"
            }
            Self::Commissioning => {
                "boxes that are not commissioned yet need an image with the new key"
            }
        }
    }

    /// Its kind. UEFI's keys have 2048 bits, as every firmware takes them; OP-TEE's has the size of the one that it
    /// takes the place of; the policy's is one that every TPM 2.0 loads.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Pk
            | Self::Kek
            | Self::Db
            | Self::PcrPolicy
            | Self::Rot
            | Self::TrustedWorld
            | Self::NonTrustedWorld
            | Self::Bl31
            | Self::Bl32
            | Self::Bl33 => Algorithm::Rsa(2048),
            Self::Update => Algorithm::Rsa(3072),
            Self::Ta => Algorithm::Rsa(4096),
            Self::Commissioning => Algorithm::Ed25519,
        }
    }

    /// Whether it has an X.509 certificate.
    pub const fn certified(self) -> bool {
        matches!(self, Self::Pk | Self::Kek | Self::Db)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(name) = Self::ALL.into_iter().find(|name| name.as_str() == text) else {
            let all: Vec<_> = Self::ALL.iter().map(|name| name.as_str()).collect();
            bail!("there is no key {text}; the keys are {}", all.join(", "));
        };
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_name() {
        for name in Name::ALL {
            assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{name}\""));
        }
        assert!("other".parse::<Name>().is_err());
    }
}
