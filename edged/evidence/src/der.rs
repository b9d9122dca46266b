//! As much of DER (X.690) as RSA keys need.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The first block of a PEM text.
pub(crate) fn pem(text: &str) -> Option<Vec<u8>> {
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN PUBLIC KEY"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}

/// Modulus and exponent of a `SubjectPublicKeyInfo` with an RSA key.
pub(crate) fn rsa_key(info: &[u8]) -> Option<(Vec<u8>, u32)> {
    let (fields, rest) = element(info, SEQUENCE)?;
    let (algorithm, fields) = element(fields, SEQUENCE)?;
    // OBJECT IDENTIFIER 1.2.840.113549.1.1.1, then NULL.
    let is_rsa = algorithm.starts_with(&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
    let (bits, after) = element(fields, BIT_STRING)?;
    let (key, left) = element(bits.strip_prefix(&[0])?, SEQUENCE)?;
    let (modulus, key) = element(key, INTEGER)?;
    let (exponent, end) = element(key, INTEGER)?;
    let whole = rest.is_empty() && after.is_empty() && left.is_empty() && end.is_empty();
    let start = 4usize.checked_sub(exponent.len())?;
    let mut word = [0; 4];
    word.get_mut(start..)?.copy_from_slice(exponent);
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    (is_rsa && whole).then(|| (modulus.to_vec(), u32::from_be_bytes(word)))
}

/// The content of one element with this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(*length), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    wrapped(SEQUENCE, &parts.concat())
}

/// A BIT STRING of whole bytes.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    wrapped(BIT_STRING, &[&[0], content].concat())
}

/// An INTEGER that is not negative.
pub(crate) fn unsigned(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    match number.first() {
        Some(..=0x7f) => wrapped(INTEGER, number),
        _ => wrapped(INTEGER, &[&[0], number].concat()),
    }
}

fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    // What is written here is shorter than 64 KiB: a key of a TPM.
    let length = u16::try_from(content.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let head: &[u8] = match length {
        [0, low @ ..=0x7f] => &[tag, low],
        [0, low] => &[tag, 0x81, low],
        [high, low] => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}
