//! Where partitions lie: a GPT's entries (UEFI specification 2.10, 5.3).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};

/// Bytes of a block.
const BLOCK: u64 = 512;
/// Longest table that is read: 128 entries of 128 bytes are the usual.
const TABLE: u64 = 1 << 20;
/// `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`, an EFI system partition, as it is written.
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// A partition that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// With the images.
    Esp,
    /// The first of another type: the data.
    Data,
}

/// The offset of a partition in bytes.
pub fn offset(disk: &Path, partition: Partition) -> anyhow::Result<u64> {
    let shown = disk.display();
    let file = File::open(disk).with_context(|| format!("cannot open {shown}"))?;
    let mut header = [0; 512];
    file.read_exact_at(&mut header, BLOCK)?;
    if header.get(..8) != Some(b"EFI PART") {
        bail!("{shown} has no GPT");
    }
    let start = little(&header, 72, 8)? * BLOCK;
    let (count, size) = (little(&header, 80, 4)?, little(&header, 84, 4)?);
    if size < 128 || count.saturating_mul(size) > TABLE {
        bail!("{shown} has a GPT of {count} entries of {size} bytes, which is not believed");
    }
    for number in 0..count {
        let mut entry = [0; 128];
        file.read_exact_at(&mut entry, start + number * size)?;
        let kind = entry.get(..16).unwrap_or_default();
        let wanted = match partition {
            Partition::Esp => kind == ESP,
            Partition::Data => kind != ESP && kind.iter().any(|byte| *byte != 0),
        };
        if wanted {
            return Ok(little(&entry, 32, 8)? * BLOCK);
        }
    }
    bail!("{shown} has no such partition: {partition:?}")
}

/// A little-endian number of up to eight bytes.
fn little(bytes: &[u8], at: usize, size: usize) -> anyhow::Result<u64> {
    let field = bytes.get(at..at + size).context("a header ends early")?;
    let number = field.iter().rev();
    Ok(number.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_partitions_are_found() {
        let mut disk = vec![0_u8; 4096];
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 72] = 2;
        disk[512 + 80] = 4;
        disk[512 + 84] = 128;
        disk[1024..1040].copy_from_slice(&ESP);
        disk[1024 + 33] = 8;
        disk[1152] = 7;
        disk[1152 + 34] = 1;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, &disk).unwrap();
        assert_eq!(offset(&path, Partition::Esp).unwrap(), 2048 * 512);
        assert_eq!(offset(&path, Partition::Data).unwrap(), 65536 * 512);
        std::fs::write(&path, vec![0_u8; 4096]).unwrap();
        assert!(offset(&path, Partition::Esp).is_err());
    }
}
