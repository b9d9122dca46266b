//! A number that is used once, so that an answer is to this question and no other.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// 8 to 32 bytes, written as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

/// Why a text or bytes are no nonce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a nonce has {} to {} hexadecimal digits, two a byte", Nonce::BYTES.start() * 2, Nonce::BYTES.end() * 2)]
pub struct ParseNonceError;

impl Nonce {
    /// Fewest and most bytes: as many as nobody guesses, and what a TPM takes beside its own data (`TPM2B_DATA`).
    pub const BYTES: RangeInclusive<usize> = 8..=32;

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl TryFrom<Vec<u8>> for Nonce {
    type Error = ParseNonceError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, ParseNonceError> {
        if Self::BYTES.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(ParseNonceError)
        }
    }
}

impl FromStr for Nonce {
    type Err = ParseNonceError;

    fn from_str(text: &str) -> Result<Self, ParseNonceError> {
        // A sign would be taken as a digit.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
            return Err(ParseNonceError);
        }
        let pairs = text.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes.ok_or(ParseNonceError)?.try_into()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_eight_to_thirty_two_bytes_of_hexadecimal() {
        let nonce: Nonce = "00FF00ff00ff00ff".parse().unwrap();
        assert_eq!(nonce.as_bytes(), [0, 255].repeat(4));
        assert_eq!(nonce.to_string(), "00ff00ff00ff00ff");
        for text in [
            "",
            "00ff",
            "00ff00ff00ff00f",
            "00ff00ff00ff00fg",
            &"00".repeat(33),
            "+1+1+1+1+1+1+1+1",
        ] {
            assert_eq!(text.parse::<Nonce>(), Err(ParseNonceError), "{text}");
        }
    }
}
