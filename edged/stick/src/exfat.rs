//! exFAT: its first sector, and the sets of entries in a folder.

use crate::volume::{ENTRY, File, Geometry, Kind, little, small, units};

/// The name of the file system in the first sector.
const NAME: &[u8] = b"EXFAT   ";
/// Sectors have 2⁹ to 2¹² bytes, clusters at most 2²⁵.
const SECTOR: std::ops::RangeInclusive<u32> = 9..=12;
const CLUSTER: u32 = 25;
/// More clusters than this its numbers cannot name.
const CLUSTERS: u32 = u32::MAX - 10;
/// Which of two tables is used.
const SECOND_TABLE: u64 = 1;
/// Kinds of entries: a file, its place, a part of its name. Without the highest bit an entry is not in use.
const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const PART: u8 = 0xc1;
/// Characters in a part.
const PIECE: usize = 15;
/// An attribute of a file.
const FOLDER: u64 = 0x10;
/// The file's clusters are neighbours.
const CONTIGUOUS: u64 = 2;

/// Reads the measures from the first sector; `None`: it is no exFAT.
pub(crate) fn geometry(head: &[u8]) -> Option<Geometry> {
    if head.get(3..11) != Some(NAME) || head.get(510..512) != Some(&[0x55, 0xaa]) {
        return None;
    }
    let (sector, more) = (small(head, 108, 1)?, small(head, 109, 1)?);
    if !SECTOR.contains(&sector) || sector.saturating_add(more) > CLUSTER {
        return None;
    }
    let number = |at| little(head, at, 4);
    let (table, length, data) = (number(80)?, number(84)?, number(88)?);
    let (count, tables) = (small(head, 92, 4)?, little(head, 110, 1)?);
    let used = little(head, 106, 2)? & SECOND_TABLE;
    // The table must speak of every cluster, and 0 and 1 besides.
    let spoken = (length << sector) / 4;
    if count > CLUSTERS || u64::from(count) + 2 > spoken || used >= tables {
        return None;
    }
    Some(Geometry {
        kind: Kind::Exfat,
        table: (table + used * length) << sector,
        heap: data << sector,
        cluster: 1 << (sector + more),
        count,
        root: small(head, 96, 4)?,
    })
}

/// The files of a folder that were written to their end.
pub(crate) fn files(folder: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    let mut rest = folder;
    while let Some((entry, after)) = rest.split_at_checked(ENTRY) {
        match entry.first() {
            Some(0) => break,
            Some(&FILE) => files.extend(found(rest)),
            _ => {}
        }
        // What belongs to a file is no file, so that entry after entry may be looked at.
        rest = after;
    }
    files
}

/// The file whose set of entries begins here, if the set is whole.
fn found(set: &[u8]) -> Option<File> {
    let count = usize::try_from(little(set, 1, 1)?).ok()?;
    let set = set.get(..ENTRY * (count + 1))?;
    if small(set, 2, 2)? != u32::from(sum_of(set)) || little(set, 4, 2)? & FOLDER != 0 {
        return None;
    }
    let mut entries = set.chunks_exact(ENTRY).skip(1);
    let stream = entries
        .next()
        .filter(|entry| entry.first() == Some(&STREAM))?;
    let length = usize::try_from(little(stream, 3, 1)?).ok()?;
    let (valid, size) = (little(stream, 8, 8)?, little(stream, 24, 8)?);
    let name: Vec<u16> = entries
        .take_while(|entry| entry.first() == Some(&PART))
        .filter_map(|entry| entry.get(2..))
        .flat_map(|entry| units(entry).take(PIECE))
        .take(length)
        .collect();
    let contiguous = little(stream, 1, 1)? & CONTIGUOUS != 0;
    let whole = name.len() == length && valid == size;
    whole.then(|| small(stream, 20, 4).map(|first| File::new(&name, size, first, contiguous)))?
}

/// The sum over a set; its own field in the first entry is left out.
fn sum_of(set: &[u8]) -> u16 {
    let counted = set
        .iter()
        .enumerate()
        .filter(|(at, _)| !matches!(at, 2 | 3));
    counted.fold(0, |sum: u16, (_, byte)| {
        sum.rotate_right(1).wrapping_add(u16::from(*byte))
    })
}
