//! `ubootefi.var`: which image starts next, once.
//!
//! A locked U-Boot keeps one variable on the disk, `BootNext`, in a file of one length (`u-boot/patches`): a header of 24
//! bytes (0, magic, length, CRC-32 of what follows), then the entry: length of the value, attributes, time, GUID, the
//! name in UTF-16 with its end, the value. Where the value has no bytes, the variable is not set. All of it lies in one
//! sector, so that it is there wholly or not at all; what does not check is not believed, and A starts.

use edged_protocol::slot::Slot;

/// Bytes of the file.
pub const LENGTH: usize = 80;
/// `UbEfiVa`, version 1 (`include/efi_variable.h` of U-Boot 2025.01).
const MAGIC: u64 = 0x0161_5669_6645_6255;
const HEADER: usize = 24;
/// Non-volatile, seen at boot and at run time.
const ATTRIBUTES: u32 = 0x7;
/// `EFI_GLOBAL_VARIABLE` (UEFI 2.10, 3.3), as it is written.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
const NAME: &str = "BootNext";

/// The boot entry of a slot (`board/keys`, `SLOTS`).
pub fn number(slot: Slot) -> u16 {
    match slot {
        Slot::A => 1,
        Slot::B => 2,
    }
}

/// The slot of a boot entry.
pub fn slot(number: u16) -> Option<Slot> {
    [Slot::A, Slot::B]
        .into_iter()
        .find(|slot| self::number(*slot) == number)
}

/// The file.
pub fn file(next: Option<Slot>) -> Vec<u8> {
    let value = next.map(|slot| number(slot).to_le_bytes());
    let length: u32 = if value.is_some() { 2 } else { 0 };
    let name = NAME.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    let mut entry = length.to_le_bytes().to_vec();
    entry.extend(ATTRIBUTES.to_le_bytes());
    entry.extend(0u64.to_le_bytes());
    entry.extend(GLOBAL);
    entry.extend(name);
    entry.extend(value.unwrap_or_default());
    entry.resize(LENGTH - HEADER, 0);
    let mut file = 0u64.to_le_bytes().to_vec();
    file.extend(MAGIC.to_le_bytes());
    file.extend(u32::try_from(LENGTH).unwrap_or_default().to_le_bytes());
    file.extend(crc32fast::hash(&entry).to_le_bytes());
    file.extend(entry);
    file
}

/// What U-Boot makes of the file's first bytes: nothing, where they are not exactly as above.
pub fn read(bytes: &[u8]) -> Option<Slot> {
    let bytes = bytes.get(..LENGTH)?;
    [Slot::A, Slot::B]
        .into_iter()
        .find(|slot| file(Some(*slot)) == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_which_slot_starts_next_or_none() {
        for next in [None, Some(Slot::A), Some(Slot::B)] {
            let file = file(next);
            assert_eq!(file.len(), LENGTH);
            assert_eq!(file[20..24], crc32fast::hash(&file[24..]).to_le_bytes());
            assert_eq!(read(&file), next);
        }
        // The check value of CRC-32/ISO-HDLC, which is the one that U-Boot computes.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_torn_file_says_nothing() {
        let whole = file(Some(Slot::B));
        for bit in 0..LENGTH * 8 {
            let mut torn = whole.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&torn), None, "bit {bit}");
        }
        assert_eq!(read(&whole[..LENGTH - 1]), None);
    }
}
