//! `EFI_SIGNATURE_LIST` (UEFI 2.10, 32.4.1): what db and dbx hold.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use uuid::Uuid;

/// `EFI_CERT_X509_GUID`.
const X509: Uuid = Uuid::from_u128(0xa5c0_59a1_94e4_4aa7_87b5_ab15_5c2b_f072);
/// `EFI_CERT_SHA256_GUID`.
const SHA256: Uuid = Uuid::from_u128(0xc1c4_1626_504c_4092_aca9_41f9_3693_4328);
/// Type, and three lengths.
const HEADER: usize = 16 + 3 * 4;
/// The owner before each signature.
const OWNER: usize = 16;

/// An image's Authenticode SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageHash(pub [u8; 32]);

impl fmt::Display for ImageHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for ImageHash {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect();
        let bytes: Option<Vec<u8>> = digits.map(|digits| {
            digits
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit))
                .collect()
        });
        match bytes.map(<[u8; 32]>::try_from) {
            Some(Ok(hash)) if text.len() == 64 => Ok(Self(hash)),
            _ => bail!("{text} is not a SHA-256 of 64 hexadecimal digits"),
        }
    }
}

/// Signature lists, one after the other.
#[derive(Debug, Clone)]
pub struct Signatures {
    owner: Uuid,
    bytes: Vec<u8>,
}

impl Signatures {
    /// None yet; each will name its owner.
    pub fn of(owner: Uuid) -> Self {
        Self {
            owner,
            bytes: Vec::new(),
        }
    }

    /// A certificate in DER: a list of its own, as certificates differ in length.
    ///
    /// # Errors
    /// It is too long.
    pub fn certificate(self, der: &[u8]) -> anyhow::Result<Self> {
        self.list(X509, &[der])
    }

    /// Hashes of images, in one list: U-Boot 2025.01 looks at the first list of hashes alone.
    ///
    /// # Errors
    /// They are too many.
    pub fn hashes(self, hashes: &[ImageHash]) -> anyhow::Result<Self> {
        if hashes.is_empty() {
            return Ok(self);
        }
        let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.0.as_slice()).collect();
        self.list(SHA256, &hashes)
    }

    /// All of it, as a variable holds it.
    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn list(mut self, kind: Uuid, signatures: &[&[u8]]) -> anyhow::Result<Self> {
        let one = OWNER + signatures.first().map_or(0, |signature| signature.len());
        let length = |bytes: usize| {
            u32::try_from(bytes)
                .map(u32::to_le_bytes)
                .context("a list of EFI signatures is too long")
        };
        self.bytes.extend(kind.to_bytes_le());
        self.bytes.extend(length(HEADER + one * signatures.len())?);
        self.bytes.extend(length(0)?);
        self.bytes.extend(length(one)?);
        for signature in signatures {
            self.bytes.extend(self.owner.to_bytes_le());
            self.bytes.extend(*signature);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_share_a_list_and_certificates_do_not() {
        let owner = Uuid::from_u128(7);
        let bytes = Signatures::of(owner)
            .hashes(&[ImageHash([1; 32]), ImageHash([2; 32])])
            .unwrap()
            .certificate(&[3; 5])
            .unwrap()
            .bytes();
        assert_eq!(bytes.len(), 28 + 2 * 48 + 28 + 21);
        assert_eq!(bytes[..4], [0x26, 0x16, 0xc4, 0xc1]);
        assert_eq!(bytes[16..28], [124, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0]);
        assert_eq!(bytes[28..44], owner.to_bytes_le());
        assert_eq!(bytes[44..76], [1; 32]);
        let second = &bytes[124..];
        assert_eq!(second[..4], [0xa1, 0x59, 0xc0, 0xa5]);
        assert_eq!(second[16..28], [49, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0]);
        assert_eq!(second[44..], [3; 5]);
    }

    #[test]
    fn a_hash_is_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<ImageHash>().unwrap().to_string(), text);
        for wrong in [
            "",
            "00",
            &"0g".repeat(32),
            &"00".repeat(33),
            &"é".repeat(32),
        ] {
            assert!(wrong.parse::<ImageHash>().is_err(), "{wrong}");
        }
    }
}
