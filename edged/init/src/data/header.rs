//! What a partition holds, from its first bytes (LUKS2 on-disk format specification, section 2.1, binary header).

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The label of a volume that is whole.
pub const WHOLE: &str = "umec-data";
/// The label of one that is being made.
pub const MAKING: &str = "umec-making";
/// As far as we look before we call a partition empty: both binary headers and the JSON areas of the usual layout.
const LOOKED_AT: usize = 64 * 1024;
/// Where the second header is in the usual layout: the first one and its JSON are 16 KiB (section 2).
const SECOND: usize = 16 * 1024;
/// What a disk writes whole or not at all; the binary header's fields are within its first.
const SECTOR: usize = 512;
/// Written to the end of a partition before anything else is: between emptying and writing the headers, cryptsetup fills
/// the place of the keys with noise, and whoever loses power then must not take that for somebody's data.
const MARK: &[u8; 16] = b"umec is making!\n";
/// KiB at the end that no file system of a marked partition has.
const AROUND_MARK: u64 = 64;
/// Where ext4 has its superblock (kernel documentation, filesystems/ext4).
const SUPERBLOCK: std::ops::Range<usize> = 1024..2048;
/// Of the first header and of the second.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe";
/// Places in the binary header: version, label, subsystem; the last two are 48 bytes, filled up with NUL.
const VERSION: std::ops::Range<usize> = 6..8;
const LABEL: std::ops::Range<usize> = 24..72;
const SUBSYSTEM: std::ops::Range<usize> = 208..256;

/// What the partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Zeros.
    Empty,
    /// A volume of ours whose making was cut short: nothing was ever kept in it.
    HalfMade,
    /// A volume of ours.
    Ready {
        /// Which PCRs it was sealed with, as [`super::seal::fingerprint`] writes it.
        sealed_with: String,
    },
    /// Something else.
    Foreign,
}

/// Looks at a device.
pub fn read(device: &Path) -> Result<State, String> {
    let look = || {
        let mut file = File::open(device)?;
        let mut head = vec![0_u8; LOOKED_AT];
        file.read_exact_at(&mut head, 0)?;
        Ok(state(&head, is_marked(&mut file)?))
    };
    look().map_err(|error: io::Error| format!("cannot read {}: {error}", device.display()))
}

/// Whether an ext4 of ours was begun here and never whole: mke2fs writes the superblock last (e2fsprogs, `ext2fs_flush`), and no
/// program of the box can take it away. Nothing was ever kept in it.
pub fn is_unfinished(device: &Path) -> Result<bool, String> {
    let look = || {
        let mut file = File::open(device)?;
        let mut superblock = [0; SUPERBLOCK.end - SUPERBLOCK.start];
        let at = u64::try_from(SUPERBLOCK.start).map_err(io::Error::other)?;
        file.read_exact_at(&mut superblock, at)?;
        Ok(is_marked(&mut file)? && superblock.iter().all(|byte| *byte == 0))
    };
    look().map_err(|error: io::Error| format!("cannot read {}: {error}", device.display()))
}

/// KiB before the mark and what lies around it.
pub fn before_mark(device: &Path) -> Result<u64, String> {
    let look = || {
        let size = File::open(device)?.seek(SeekFrom::End(0))?;
        Ok((size / 1024).saturating_sub(AROUND_MARK))
    };
    look().map_err(|error: io::Error| format!("cannot read {}: {error}", device.display()))
}

/// Says on a device that a volume of ours is being made on it. It is on the disk afterwards.
pub fn mark(device: &Path) -> Result<(), String> {
    put(device, MARK)
}

/// Says no more that one is being made: it is whole.
pub fn unmark(device: &Path) -> Result<(), String> {
    put(device, &[0; MARK.len()])
}

fn put(device: &Path, mark: &[u8; MARK.len()]) -> Result<(), String> {
    let write = || {
        let mut file = File::options().read(true).write(true).open(device)?;
        let at = place_of_mark(&mut file)?;
        file.write_all_at(mark, at)?;
        file.sync_all()
    };
    write().map_err(|error: io::Error| format!("cannot write {}: {error}", device.display()))
}

fn is_marked(device: &mut File) -> io::Result<bool> {
    let mut mark = [0; MARK.len()];
    let at = place_of_mark(device)?;
    device.read_exact_at(&mut mark, at)?;
    Ok(mark == *MARK)
}

fn place_of_mark(device: &mut File) -> io::Result<u64> {
    let length = u64::try_from(MARK.len()).map_err(io::Error::other)?;
    let size = device.seek(SeekFrom::End(0))?;
    size.checked_sub(length)
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn state(head: &[u8], is_marked: bool) -> State {
    let is_empty = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    if is_empty(head) {
        return State::Empty;
    }
    let sector = |at| head.get(at..at + SECTOR).unwrap_or_default();
    let second = sector(SECOND);
    let is_making = second.starts_with(SECOND_MAGIC) && text(second, LABEL) == MAKING;
    // cryptsetup empties the headers first and writes them last, in an order that a disk may change. A volume that was whole
    // once has its label in one of them.
    if is_marked && is_empty(sector(0)) && (is_empty(second) || is_making) {
        return State::HalfMade;
    }
    if !head.starts_with(MAGIC) || head.get(VERSION) != Some(&[0, 2]) {
        return State::Foreign;
    }
    match text(head, LABEL).as_str() {
        WHOLE => State::Ready {
            sealed_with: text(head, SUBSYSTEM),
        },
        MAKING => State::HalfMade,
        _ => State::Foreign,
    }
}

fn text(head: &[u8], range: std::ops::Range<usize>) -> String {
    let bytes = head.get(range).unwrap_or_default();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(label: &str) -> Vec<u8> {
        let mut head = vec![0; LOOKED_AT];
        head[..6].copy_from_slice(MAGIC);
        head[7] = 2;
        head[24..24 + label.len()].copy_from_slice(label.as_bytes());
        head[208..211].copy_from_slice(b"0=a");
        head
    }

    #[test]
    fn a_volume_is_whole_only_with_its_last_label() {
        for is_marked in [false, true] {
            assert_eq!(
                state(&header(WHOLE), is_marked),
                State::Ready {
                    sealed_with: "0=a".to_owned()
                }
            );
            assert_eq!(state(&header(MAKING), is_marked), State::HalfMade);
        }
    }

    #[test]
    fn only_zeros_are_overwritten() {
        assert_eq!(state(&vec![0; LOOKED_AT], false), State::Empty);
        let mut one = vec![0; LOOKED_AT];
        one[LOOKED_AT - 1] = 1;
        assert_eq!(state(&one, false), State::Foreign);
        assert_eq!(state(&header("somebody's"), true), State::Foreign);
        let mut first_version = header(MAKING);
        first_version[7] = 1;
        assert_eq!(state(&first_version, true), State::Foreign);
    }

    #[test]
    fn a_file_system_that_was_cut_before_its_superblock_is_made_again_and_a_whole_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("device");
        let file = File::create(&device).unwrap();
        file.set_len(16 << 20).unwrap();
        assert!(!is_unfinished(&device).unwrap(), "nobody began");
        mark(&device).unwrap();
        // Descriptors of groups, which come before the superblock.
        file.write_all_at(&vec![7; 20 << 10], 4096).unwrap();
        assert_eq!(read(&device).unwrap(), State::Foreign);
        assert!(is_unfinished(&device).unwrap());
        file.write_all_at(&[0x53, 0xef], 1024 + 56).unwrap();
        assert!(!is_unfinished(&device).unwrap(), "somebody may use it");
        // What makes it leaves the mark alone.
        let name = device.display().to_string();
        super::super::volume::make_before(&name, before_mark(&device).unwrap()).unwrap();
        assert!(!is_unfinished(&device).unwrap());
        file.write_all_at(&[0; 1024], 1024).unwrap();
        assert!(is_unfinished(&device).unwrap(), "mke2fs took the mark away");
        unmark(&device).unwrap();
        assert!(!is_unfinished(&device).unwrap());
    }

    #[test]
    fn a_volume_whose_making_was_cut_before_its_headers_is_made_again() {
        let device = tempfile::NamedTempFile::new().unwrap();
        device.as_file().set_len(1 << 20).unwrap();
        assert_eq!(read(device.path()).unwrap(), State::Empty);
        mark(device.path()).unwrap();
        assert_eq!(read(device.path()).unwrap(), State::Empty);
        let write = |bytes: &[u8], at| device.as_file().write_all_at(bytes, at).unwrap();
        // What cryptsetup writes to where the keys will be, before it writes a header.
        write(&[0xa5; 4096], 32 * 1024);
        assert_eq!(read(device.path()).unwrap(), State::HalfMade);
        // The first header's JSON was on the disk before the header.
        write(b"{}", 4096);
        assert_eq!(read(device.path()).unwrap(), State::HalfMade);
        write(b"x", 0);
        assert_eq!(read(device.path()).unwrap(), State::Foreign);
    }

    #[test]
    fn a_volume_that_is_made_again_and_cut_again_is_made_again() {
        let mut head = vec![0; LOOKED_AT];
        let second = |label: &str| [SECOND_MAGIC, &header(label)[6..SECTOR]].concat();
        // The first header is empty already, and the second is that of the volume which was half made.
        head[SECOND..SECOND + SECTOR].copy_from_slice(&second(MAKING));
        assert_eq!(state(&head, true), State::HalfMade);
        assert_eq!(state(&head, false), State::Foreign);
        // That of one which was whole still opens it.
        head[SECOND..SECOND + SECTOR].copy_from_slice(&second(WHOLE));
        assert_eq!(state(&head, true), State::Foreign);
    }
}
