//! GUIDs as UEFI stores them: the first three fields least byte first.

use std::fmt;

/// A GUID.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guid([u8; 16]);

/// The bytes in the order of their digits, by their places when stored.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// From its usual text, when compiled.
    ///
    /// # Panics
    /// The text is no GUID; in a constant that is an error of the compiler.
    #[allow(
        clippy::indexing_slicing,
        clippy::as_conversions,
        reason = "evaluated by the compiler, where neither iterators nor From are to be had"
    )]
    pub const fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let mut bytes = [0; 16];
        let (mut at, mut digits) = (0, 0);
        while at < text.len() {
            let digit = match text[at] {
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'a'..=b'f' => digit - b'a' + 10,
                b'-' => {
                    at += 1;
                    continue;
                }
                _ => panic!("a GUID has the digits 0 to 9 and a to f"),
            };
            let place = ORDER[digits / 2];
            bytes[place] = bytes[place] << 4 | digit;
            (at, digits) = (at + 1, digits + 1);
        }
        assert!(digits == 32, "a GUID has 32 digits");
        Self(bytes)
    }

    /// As it is stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it is stored.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, place) in ORDER.iter().enumerate() {
            if [4, 6, 8, 10].contains(&count) {
                out.write_str("-")?;
            }
            write!(out, "{:02x}", self.0.get(*place).unwrap_or(&0))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_stored_as_uefi_stores_it() {
        let text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        let guid = Guid::new(text);
        assert_eq!(
            guid.bytes()[..8],
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]
        );
        assert_eq!(guid.to_string(), text);
    }
}
