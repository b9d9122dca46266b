//! Digests of files: the three functions that a manifest may name.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Serialize};

/// A hash function of the SHA-2 family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// 256 bits.
    #[serde(rename = "SHA-256", alias = "sha-256")]
    Sha256,
    /// 384 bits.
    #[serde(rename = "SHA-384", alias = "sha-384")]
    Sha384,
    /// 512 bits.
    #[serde(rename = "SHA-512", alias = "sha-512")]
    Sha512,
}

impl Algorithm {
    fn ring(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// A digest to be fed.
    pub(crate) fn begin(self) -> Hasher {
        Hasher(digest::Context::new(self.ring()))
    }

    /// The digest of bytes at hand.
    pub(crate) fn of(self, bytes: &[u8]) -> Hash {
        Hash::from_bytes(self, digest::digest(self.ring(), bytes).as_ref())
    }

    /// The bare digest of bytes at hand.
    pub(crate) fn bytes_of(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.ring(), bytes).as_ref().to_vec()
    }

    /// Hexadecimal digits of a digest.
    fn digits(self) -> usize {
        self.ring().output_len() * 2
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// Why a text names no hash function or is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseHashError {
    /// MD5, SHA-1 and whatever else.
    #[error("algorithm {0:?} is not taken; use SHA-256, SHA-384 or SHA-512")]
    Algorithm(String),
    /// Not the right count of hexadecimal digits.
    #[error("hash {0:?} is not {1} hexadecimal digits")]
    Hash(String, usize),
}

impl FromStr for Algorithm {
    type Err = ParseHashError;
    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        match text.to_ascii_uppercase().as_str() {
            "SHA-256" => Ok(Self::Sha256),
            "SHA-384" => Ok(Self::Sha384),
            "SHA-512" => Ok(Self::Sha512),
            _ => Err(ParseHashError::Algorithm(text.to_owned())),
        }
    }
}

/// A digest being made.
pub(crate) struct Hasher(digest::Context);

impl Hasher {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self, algorithm: Algorithm) -> Hash {
        Hash::from_bytes(algorithm, self.0.finish().as_ref())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// A digest and the function that made it; lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash {
    /// By which function.
    pub algorithm: Algorithm,
    /// Lower-case hexadecimal digits.
    #[serde(rename = "hash")]
    pub hex: String,
}

impl Hash {
    pub(crate) fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Self {
        use fmt::Write as _;
        let mut hex = String::with_capacity(algorithm.digits());
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self { algorithm, hex }
    }

    /// A digest as somebody wrote it.
    pub(crate) fn parse(algorithm: Algorithm, text: &str) -> Result<Self, ParseHashError> {
        let hex = text.to_ascii_lowercase();
        if hex.len() != algorithm.digits() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseHashError::Hash(text.to_owned(), algorithm.digits()));
        }
        Ok(Self { algorithm, hex })
    }
}
