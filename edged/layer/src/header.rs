//! One 512-byte tar header: POSIX ustar, GNU and V7 (POSIX.1-2017 pax, "ustar Interchange Format").
//!
//! Parsed here and not by a crate: what must be checked (extension sizes, sparse maps, a size given twice) is what
//! archive crates do on their own before they hand out an entry.

use crate::UnpackError;
use crate::error::Shown;

/// Bytes of a header, and the unit everything in an archive is padded to.
pub(crate) const BLOCK: usize = 512;

/// One header, its numbers still as text.
pub(crate) struct Header<'b> {
    block: &'b [u8; BLOCK],
}

impl<'b> Header<'b> {
    /// `None` for the block of zeros that ends an archive.
    pub(crate) fn parse(block: &'b [u8; BLOCK], at: u64) -> Result<Option<Self>, UnpackError> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Self { block };
        let is_checksum = |index: usize| (148..156).contains(&index);
        let sum: i64 = block
            .iter()
            .enumerate()
            .map(|(index, byte)| i64::from(if is_checksum(index) { b' ' } else { *byte }))
            .sum();
        if number(header.field(148, 8)) == Some(sum) {
            Ok(Some(header))
        } else {
            Err(UnpackError::BadChecksum { at })
        }
    }

    fn field(&self, at: usize, len: usize) -> &'b [u8] {
        self.block
            .get(at..at.saturating_add(len))
            .unwrap_or_default()
    }

    /// Name and, in POSIX archives only, the prefix before it: GNU keeps times in that place.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let prefix = if self.field(257, 6) == b"ustar\0" {
            text(self.field(345, 155))
        } else {
            b""
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(crate) fn link(&self) -> &'b [u8] {
        text(self.field(157, 100))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or_default()
    }

    /// Permission bits; type bits that some writers leave in are not ours to read.
    pub(crate) fn mode(&self) -> Result<u32, UnpackError> {
        self.whole(100, 8, "mode")
            .map(|mode| u32::try_from(mode & 0o7777).unwrap_or_default())
    }

    pub(crate) fn uid(&self) -> Result<i64, UnpackError> {
        self.number(108, 8, "owner")
    }

    pub(crate) fn gid(&self) -> Result<i64, UnpackError> {
        self.number(116, 8, "group")
    }

    pub(crate) fn size(&self) -> Result<u64, UnpackError> {
        self.whole(124, 12, "size")
    }

    /// Seconds since 1970.
    pub(crate) fn mtime(&self) -> Result<i64, UnpackError> {
        self.number(136, 12, "modification time")
    }

    fn whole(&self, at: usize, len: usize, field: &'static str) -> Result<u64, UnpackError> {
        let number = self.number(at, len, field)?;
        u64::try_from(number).map_err(|_| UnpackError::BadHeader {
            path: Shown::new(&self.name()),
            field,
        })
    }

    fn number(&self, at: usize, len: usize, field: &'static str) -> Result<i64, UnpackError> {
        number(self.field(at, len)).ok_or_else(|| UnpackError::BadHeader {
            path: Shown::new(&self.name()),
            field,
        })
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between blanks and NULs, or GNU's base 256 (two's complement, marked by the highest bit).
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let low = i128::from(first & 0x3f);
        let start = if first & 0x40 == 0 { low } else { low - 0x40 };
        // 12 bytes at most: 96 bits.
        let value = rest
            .iter()
            .fold(start, |value, byte| value * 256 + i128::from(*byte));
        return i64::try_from(value).ok();
    }
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(digits.len());
    let (digits, tail) = digits.split_at_checked(end)?;
    if !tail.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0 "), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(2 << 32));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        for bad in [
            &b"9"[..],
            b"12x",
            b"-1",
            b"7 7",
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"",
        ] {
            assert_eq!(number(bad), None, "{bad:?} was taken");
        }
    }
}
