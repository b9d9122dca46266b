//! TF-A's Firmware Image Package: a table of images by UUID (`include/tools_share/firmware_image_package.h`).

use std::ops::Range;

use anyhow::{Context, bail};

/// The table's first number.
const NAME: [u8; 4] = 0xaa64_0001u32.to_le_bytes();
/// Bytes before the first entry.
const HEADER: usize = 16;
/// UUID, offset, size, flags.
const ENTRY: usize = 40;
/// More images than any package has.
const ENTRIES: usize = 64;

/// The images that run, as the bytes of their UUIDs.
pub(crate) mod image {
    /// BL2.
    pub const BL2: [u8; 16] = 0x5ff9_ec0b_4d22_3e4d_a544_c39d_81c7_3f0a_u128.to_be_bytes();
    /// BL31.
    pub const BL31: [u8; 16] = 0x47d4_086d_4cfe_9846_9b95_2950_cbbd_5a00_u128.to_be_bytes();
    /// OP-TEE's pager: BL32's first extra image.
    pub const TEE: [u8; 16] = 0x0b70_c29b_2a5a_7840_9f65_0a56_8273_8288_u128.to_be_bytes();
    /// BL33.
    pub const BL33: [u8; 16] = 0xd6d0_eea7_fcea_d54b_9782_9934_f234_b6e4_u128.to_be_bytes();
}

/// Where an image is in a package.
///
/// # Errors
/// It is no package, or has no such image.
pub(crate) fn find(package: &[u8], image: [u8; 16]) -> anyhow::Result<Range<usize>> {
    if package.get(..4) != Some(&NAME) {
        bail!("there is no firmware image package");
    }
    let table = package.get(HEADER..).unwrap_or_default();
    for entry in table.chunks_exact(ENTRY).take(ENTRIES) {
        let number = |from: usize| {
            let bytes = entry.get(from..from + 8).context("the entry is cut off")?;
            anyhow::Ok(usize::try_from(u64::from_le_bytes(bytes.try_into()?))?)
        };
        if !entry.starts_with(&image) {
            continue;
        }
        let (offset, size) = (number(16)?, number(24)?);
        let end = offset.checked_add(size).filter(|end| *end <= package.len());
        return Ok(offset..end.context("an image of the package is cut off")?);
    }
    bail!("the firmware image package has no such image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_by_its_uuid() {
        let mut package = NAME.to_vec();
        package.resize(HEADER, 0);
        for (uuid, offset, size) in [(image::BL31, 136u64, 3u64), (image::BL33, 139, 2)] {
            package.extend(uuid);
            package.extend(offset.to_le_bytes());
            package.extend(size.to_le_bytes());
            package.extend([0; 8]);
        }
        package.extend([0; ENTRY]);
        package.extend(b"abcde");
        let found = find(&package, image::BL33).unwrap();
        assert_eq!(&package[found], b"de");
        assert!(find(&package, image::BL2).is_err());
        assert!(find(&package[..140], image::BL33).is_err());
        assert!(find(b"", image::BL2).is_err());
    }
}
