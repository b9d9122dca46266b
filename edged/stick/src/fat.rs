//! FAT32: its first sector, and the long names in a folder. A bundle's name does not fit a short one.

use crate::volume::{ENTRY, FIRST, File, Geometry, Kind, little, small, units};

/// The table that is used is named by the low bits where the high one says that not all are kept.
const ONE_TABLE: u64 = 0x80;
const WHICH_TABLE: u64 = 0x0f;
/// More clusters than this the numbers of FAT32 cannot name.
const CLUSTERS: u64 = 0x0fff_fff5;
/// Attributes of an entry.
const LONG: u8 = 0x0f;
const LONG_BITS: u8 = 0x3f;
const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;
/// An entry that was deleted.
const DELETED: u8 = 0xe5;
/// The entry with a long name's end comes first, and says so.
const LAST: u8 = 0x40;
/// Characters in an entry, and most entries of a name.
const PIECE: usize = 13;
const PIECES: usize = 20;
/// Where the characters are.
const PLACES: [std::ops::Range<usize>; 3] = [1..11, 14..26, 28..32];

/// Reads the measures from the first sector; `None`: it is no FAT32.
pub(crate) fn geometry(head: &[u8]) -> Option<Geometry> {
    let (sector, cluster) = (little(head, 11, 2)?, little(head, 13, 1)?);
    let (reserved, tables) = (little(head, 14, 2)?, little(head, 16, 1)?);
    // Zero in FAT32: the fixed top folder, and lengths in the two bytes of its ancestors; and the version.
    let ancient = [
        little(head, 17, 2)?,
        little(head, 19, 2)?,
        little(head, 22, 2)?,
    ];
    let version = little(head, 42, 2)?;
    let (total, table, flags) = (
        little(head, 32, 4)?,
        little(head, 36, 4)?,
        little(head, 40, 2)?,
    );
    let good = head.get(510..512) == Some(&[0x55, 0xaa])
        && (512..=4096).contains(&sector)
        && sector.is_power_of_two()
        && cluster.is_power_of_two()
        && reserved > 0
        && table > 0
        && ancient == [0; 3]
        && version == 0;
    let used = if flags & ONE_TABLE == 0 {
        0
    } else {
        flags & WHICH_TABLE
    };
    if !good || used >= tables {
        return None;
    }
    let before = reserved + tables * table;
    let clusters = total.checked_sub(before)? / cluster;
    // The table must speak of every cluster.
    let spoken = table * sector / 4;
    if clusters > CLUSTERS || clusters + u64::from(FIRST) > spoken {
        return None;
    }
    Some(Geometry {
        kind: Kind::Fat32,
        table: (reserved + used * table) * sector,
        heap: before * sector,
        cluster: cluster * sector,
        count: u32::try_from(clusters).ok()?,
        root: small(head, 44, 4)?,
    })
}

/// A long name on its way: pieces come from its end to its beginning.
#[derive(Default)]
struct Long {
    /// The pieces so far, the last one first.
    pieces: Vec<Vec<u16>>,
    /// How many are missing.
    missing: usize,
    /// Of the short name that it belongs to.
    sum: u8,
}

impl Long {
    /// Takes an entry; what does not fit ends the name.
    fn take(&mut self, entry: &[u8]) {
        let (number, sum) = (byte(entry, 0), byte(entry, 13));
        let place = usize::from(number & LONG_BITS);
        if number & LAST != 0 && (1..=PIECES).contains(&place) {
            *self = Self {
                missing: place,
                sum,
                ..Self::default()
            };
        } else if place == 0 || place != self.missing || sum != self.sum {
            return *self = Self::default();
        }
        let bytes: Vec<u8> = PLACES
            .iter()
            .filter_map(|place| entry.get(place.clone()))
            .flatten()
            .copied()
            .collect();
        self.pieces.push(units(&bytes).collect());
        self.missing = place.saturating_sub(1);
    }

    /// The whole name, if it belongs to the short one.
    fn name(self, short: &[u8]) -> Option<Vec<u16>> {
        if self.pieces.is_empty() || self.missing != 0 || self.sum != sum_of(short) {
            return None;
        }
        let mut name = Vec::with_capacity(self.pieces.len() * PIECE);
        name.extend(self.pieces.into_iter().rev().flatten());
        // Padding begins with a zero.
        let end = name.iter().position(|unit| *unit == 0);
        name.truncate(end.unwrap_or(name.len()));
        Some(name)
    }
}

fn byte(entry: &[u8], at: usize) -> u8 {
    entry.get(at).copied().unwrap_or_default()
}

/// By which a long name knows its short one.
fn sum_of(short: &[u8]) -> u8 {
    let sum = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
    short.iter().fold(0, sum)
}

/// The files with long names in a folder.
pub(crate) fn files(folder: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    let mut long = Long::default();
    for entry in folder.chunks_exact(ENTRY) {
        let attributes = byte(entry, 11);
        match byte(entry, 0) {
            0 => break,
            DELETED => long = Long::default(),
            _ if attributes & LONG_BITS == LONG => long.take(entry),
            _ if attributes & (VOLUME | FOLDER) != 0 => long = Long::default(),
            _ => files.extend(found(std::mem::take(&mut long), entry)),
        }
    }
    files
}

fn found(long: Long, entry: &[u8]) -> Option<File> {
    let name = long.name(entry.get(..11)?)?;
    let first = (small(entry, 20, 2)? << 16) | small(entry, 26, 2)?;
    Some(File::new(
        &name,
        little(entry, 28, 4)?,
        first & 0x0fff_ffff,
        false,
    ))
}
