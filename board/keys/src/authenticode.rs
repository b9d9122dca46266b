//! The hash by which UEFI knows an image: SHA-256 as Authenticode takes it (Windows Authenticode Portable Executable
//! Signature Format, "Calculating the PE Image Hash").

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::ImageHash;

/// Where the PE header's place stands in the DOS header.
const PE_PLACE: usize = 0x3c;
/// Signature and COFF header.
const COFF: usize = 24;
/// PE32+, what 64-bit machines have.
const PE32_PLUS: u16 = 0x20b;
/// In the optional header: the length of all headers.
const HEADERS: usize = 60;
/// In the optional header: the checksum, which is not hashed.
const CHECKSUM: usize = 64;
/// In the optional header: the place and length of the certificates, which are not hashed.
const CERTIFICATES: usize = 144;
/// Bytes of a section's header.
const SECTION: usize = 40;
/// Signed images are padded to a multiple of this.
const ALIGNMENT: usize = 8;

/// An image's hash, the same before and after it was signed.
///
/// # Errors
/// It is not a 64-bit PE image, or is cut off.
pub fn authenticode(image: &[u8]) -> anyhow::Result<ImageHash> {
    let pe = size(u32_at(image, PE_PLACE)?)?;
    if image.get(..2) != Some(b"MZ") || image.get(pe..pe + 4) != Some(b"PE\0\0") {
        bail!("it is not an EFI image");
    }
    let optional = pe + COFF;
    if u16_at(image, optional)? != PE32_PLUS {
        bail!("it is not a 64-bit EFI image");
    }
    let headers = size(u32_at(image, optional + HEADERS)?)?;
    let certificates = size(u32_at(image, optional + CERTIFICATES + 4)?)?;
    let end = image
        .len()
        .checked_sub(certificates)
        .context("it is shorter than its certificates")?;
    let mut hasher = Sha256::new();
    for (from, to) in [
        (0, optional + CHECKSUM),
        (optional + CHECKSUM + 4, optional + CERTIFICATES),
        (optional + CERTIFICATES + 8, headers),
    ] {
        hasher.update(part(image, from, to)?);
    }
    let mut reached = headers;
    for (from, length) in sections(image, pe)? {
        hasher.update(part(image, from, from + length)?);
        reached += length;
    }
    if reached < end {
        hasher.update(part(image, reached, end)?);
        reached = end;
    }
    let padding = reached.next_multiple_of(ALIGNMENT) - reached;
    hasher.update(vec![0; padding]);
    Ok(ImageHash(hasher.finalize().into()))
}

/// Place and length of each section's data, in the order of places.
fn sections(image: &[u8], pe: usize) -> anyhow::Result<Vec<(usize, usize)>> {
    let count = usize::from(u16_at(image, pe + 6)?);
    let first = pe + COFF + usize::from(u16_at(image, pe + 20)?);
    let mut sections = Vec::new();
    for header in (0..count).map(|number| first + number * SECTION) {
        let length = size(u32_at(image, header + 16)?)?;
        if length > 0 {
            sections.push((size(u32_at(image, header + 20)?)?, length));
        }
    }
    sections.sort_unstable();
    Ok(sections)
}

fn part(image: &[u8], from: usize, to: usize) -> anyhow::Result<&[u8]> {
    image.get(from..to).context("the EFI image is cut off")
}

fn u16_at(image: &[u8], place: usize) -> anyhow::Result<u16> {
    let bytes = part(image, place, place + 2)?;
    Ok(u16::from_le_bytes(bytes.try_into()?))
}

fn u32_at(image: &[u8], place: usize) -> anyhow::Result<u32> {
    let bytes = part(image, place, place + 4)?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

fn size(number: u32) -> anyhow::Result<usize> {
    Ok(usize::try_from(number)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of 0x200 bytes, one section of 0x10, and what follows.
    fn image(after: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x210];
        image[..2].copy_from_slice(b"MZ");
        image[PE_PLACE] = 0x40;
        image[0x40..0x44].copy_from_slice(b"PE\0\0");
        image[0x46] = 1;
        image[0x54] = 240;
        let optional = 0x40 + COFF;
        image[optional..optional + 2].copy_from_slice(&PE32_PLUS.to_le_bytes());
        image[optional + HEADERS + 1] = 2;
        let section = optional + 240;
        image[section + 16] = 0x10;
        image[section + 21] = 2;
        image.extend(after);
        image
    }

    #[test]
    fn certificates_and_checksum_do_not_change_the_hash_and_everything_else_does() {
        let plain = image(&[]);
        let hash = authenticode(&plain).unwrap();
        let optional = 0x40 + COFF;
        let mut signed = image(&[9; 24]);
        signed[optional + CHECKSUM] = 77;
        signed[optional + CERTIFICATES] = 0x10;
        signed[optional + CERTIFICATES + 4] = 24;
        assert_eq!(authenticode(&signed).unwrap(), hash);
        for place in [2, optional + 100, 0x1ff, 0x208] {
            let mut changed = plain.clone();
            changed[place] ^= 1;
            assert_ne!(authenticode(&changed).unwrap(), hash, "{place}");
        }
        assert_ne!(authenticode(&image(&[1])).unwrap(), hash);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let whole = image(&[]);
        for length in [0, 1, 0x3f, 0x50, 0x120, 0x20f] {
            assert!(authenticode(&whole[..length]).is_err(), "{length}");
        }
    }
}
