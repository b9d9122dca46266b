//! The little of DER (ITU-T X.690) that a signature needs: written and read one element at a time.

use anyhow::Context;

/// Contents from this length on have a length of several bytes.
const LONG: usize = 0x80;

/// An element: tag, length, content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < LONG {
        out.extend(u8::try_from(length));
    } else {
        let bytes: Vec<u8> = length
            .to_be_bytes()
            .into_iter()
            .skip_while(|byte| *byte == 0)
            .collect();
        out.extend(u8::try_from(LONG | bytes.len()));
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}

/// A SEQUENCE of elements.
pub fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

/// A SET of elements, given in their order.
pub fn set(elements: &[&[u8]]) -> Vec<u8> {
    element(0x31, &elements.concat())
}

/// An element as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: u8,
    /// What is in it.
    pub content: &'a [u8],
    /// All of it, tag and length included.
    pub whole: &'a [u8],
}

/// The elements one after the other.
///
/// # Errors
/// A length leads beyond the end.
pub fn elements(mut bytes: &[u8]) -> anyhow::Result<Vec<Element<'_>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let one = first(bytes).context("this is not DER: an element ends beyond its parent")?;
        bytes = bytes.get(one.whole.len()..).unwrap_or_default();
        all.push(one);
    }
    Ok(all)
}

fn first(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let length = usize::from(*length);
    let (length, rest) = if length < LONG {
        (length, rest)
    } else {
        let (digits, rest) = rest.split_at_checked(length & !LONG)?;
        let length = digits.iter().try_fold(0usize, |sum, digit| {
            Some(sum.checked_mul(256)? + usize::from(*digit))
        })?;
        (length, rest)
    };
    let content = rest.get(..length)?;
    let header = bytes.len().checked_sub(rest.len())?;
    Some(Element {
        tag: *tag,
        content,
        whole: bytes.get(..header.checked_add(length)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let written = element(0x04, &content);
            let read = elements(&written).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!((read[0].tag, read[0].content), (0x04, content.as_slice()));
            assert_eq!(read[0].whole, written);
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert!(elements(&[0x30, 0x05, 1, 2]).is_err());
        assert!(elements(&[0x30, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9]).is_err());
    }
}
