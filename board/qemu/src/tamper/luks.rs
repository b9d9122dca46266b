//! The sealed key on the data partition: LUKS2's header (on-disk format 1.1.1).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::disk::{self, Partition};
use super::flip_bit;

/// Magic number of a LUKS header, and version 2.
const MAGIC: &[u8; 8] = b"LUKS\xba\xbe\x00\x02";
/// Bytes before the header's JSON.
const BINARY: usize = 4096;
/// Longest header that the format allows.
const HEADER: u64 = 4 << 20;
/// How much of a partition has to be empty for a box to take it as new.
const LOOKED_AT: usize = 64 << 10;
/// Where cryptsetup begins a volume's data unless told otherwise: in front of it are both headers and all key slots.
const FRONT: usize = 16 << 20;

/// Of the second header, which follows the first and its JSON.
const SECOND_MAGIC: &[u8; 8] = b"SKUL\xba\xbe\x00\x02";
/// A volume that is not whole yet (edged/init).
const MAKING: &[u8] = b"umec-making\0";
/// Places in the binary header.
const LABEL: usize = 24;
const CHECKSUM: usize = 448;

/// Flips a bit of the key slot that the TPM's token opens. (A bit of the header itself would be mended from its second
/// copy.)
pub fn flip(disk: &Path) -> anyhow::Result<()> {
    let start = disk::offset(disk, Partition::Data)?;
    flip_bit(disk, start + key_material(disk, start)?)
}

/// Writes the data partition's headers and key slots to a file, in which cryptsetup tries keys without a device.
///
/// # Errors
/// The disk has no data partition, or the file cannot be written.
pub fn copy_data_header(disk: &Path, to: &Path) -> anyhow::Result<()> {
    let start = disk::offset(disk, Partition::Data)?;
    let mut front = vec![0; FRONT];
    File::open(disk)?.read_exact_at(&mut front, start)?;
    fs::write(to, front).with_context(|| format!("cannot write {}", to.display()))
}

/// Empties the data partition as far as a box looks before it makes one ready (edged/init).
///
/// # Errors
/// The disk has no data partition, or cannot be written.
pub fn empty_data(disk: &Path) -> anyhow::Result<()> {
    let start = disk::offset(disk, Partition::Data)?;
    let file = File::options().write(true).open(disk)?;
    file.write_all_at(&vec![0; LOOKED_AT], start)
        .with_context(|| format!("cannot write {}", disk.display()))
}

/// Makes a volume look as it does where the power goes while cryptsetup writes its last label: it is in the first header,
/// whose checksum is not written yet, and not in the second.
///
/// # Errors
/// The disk has no volume, or cannot be written.
pub fn tear_last_label(disk: &Path) -> anyhow::Result<()> {
    let start = disk::offset(disk, Partition::Data)?;
    let file = File::options().read(true).write(true).open(disk)?;
    let size = header_size(&file, start)?;
    let at = start + size;
    let mut second = vec![0; usize::try_from(size)?];
    file.read_exact_at(&mut second, at)?;
    if !second.starts_with(SECOND_MAGIC) {
        bail!("the volume has no second header");
    }
    put(&mut second, LABEL, MAKING)?;
    put(&mut second, CHECKSUM, &[0; 64])?;
    let checksum = Sha256::digest(&second);
    put(&mut second, CHECKSUM, &checksum)?;
    file.write_all_at(&second, at)?;
    let place = u64::try_from(CHECKSUM)?;
    file.write_all_at(&[0; 64], start + place)?;
    file.sync_all()?;
    Ok(())
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) -> anyhow::Result<()> {
    let place = header.get_mut(at..at + bytes.len());
    place
        .context("the LUKS2 header is short")?
        .copy_from_slice(bytes);
    Ok(())
}

/// The middle of the slot's area, from the partition's start.
fn key_material(disk: &Path, start: u64) -> anyhow::Result<u64> {
    let file = File::open(disk)?;
    let mut header = vec![0; usize::try_from(header_size(&file, start)?)?];
    file.read_exact_at(&mut header, start)?;
    let text = header.get(BINARY..).context("the LUKS2 header is short")?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    area(&serde_json::from_slice(text).context("the LUKS2 header is not understood")?)
}

fn header_size(file: &File, start: u64) -> anyhow::Result<u64> {
    let mut head = [0; 16];
    file.read_exact_at(&mut head, start)?;
    let (magic, size) = head.split_at(8);
    if magic != MAGIC {
        bail!("the data partition is no LUKS2 volume yet: the box has not formatted it");
    }
    let size = u64::from_be_bytes(size.try_into()?);
    if size > HEADER {
        bail!("a LUKS2 header of {size} bytes is not believed");
    }
    Ok(size)
}

fn area(header: &Value) -> anyhow::Result<u64> {
    let tokens = header.get("tokens").and_then(Value::as_object);
    let slot = tokens
        .into_iter()
        .flatten()
        .find(|(_, token)| token.get("type").and_then(Value::as_str) == Some("systemd-tpm2"))
        .and_then(|(_, token)| token.pointer("/keyslots/0")?.as_str())
        .context("the data partition has no key for a TPM")?;
    let number = |name: &str| -> Option<u64> {
        let pointer = format!("/keyslots/{slot}/area/{name}");
        header.pointer(&pointer)?.as_str()?.parse().ok()
    };
    let (offset, size) = number("offset")
        .zip(number("size"))
        .with_context(|| format!("key slot {slot} of the data partition has no area"))?;
    Ok(offset + size / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_the_one_of_the_tpm_s_token() {
        let header = serde_json::json!({
            "tokens": {"0": {"type": "systemd-recovery", "keyslots": ["0"]}, "1": {"type": "systemd-tpm2", "keyslots": ["2"]}},
            "keyslots": {"2": {"area": {"offset": "1000", "size": "200"}}},
        });
        assert_eq!(area(&header).unwrap(), 1100);
        assert!(area(&serde_json::json!({})).is_err());
    }
}
