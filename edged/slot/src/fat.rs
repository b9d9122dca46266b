//! FAT32, as much of it as leads from a path to the sectors of a file; nothing here writes.
//!
//! Reference: Microsoft's "FAT32 File System Specification" 1.03.

use std::ops::Range;

use crate::error::SlotError;
use crate::medium::{Medium, SECTOR};

/// Bytes of an entry of a directory.
pub const ENTRY: usize = 32;
/// A short name and its suffix, padded with blanks.
pub type Name = [u8; 11];
/// Attributes of an entry: the disk's own name, or a part of a long name; a folder.
const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;
/// The four highest bits of an entry of the table are somebody else's.
pub const ENTRY_BITS: u32 = 0x0fff_ffff;
/// From here on, an entry of the table ends a chain; below, it is the next cluster. 0 and 1 are no clusters.
const END: u32 = 0x0fff_fff8;
const FIRST: u32 = 2;
/// Clusters of a directory that are looked at: ours have one.
const DIRECTORY: usize = 4;

/// Where things are, in bytes from the beginning of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Of a cluster.
    pub cluster: u64,
    /// Of the first table, and how many there are one after the other.
    pub table: u64,
    /// Tables.
    pub tables: u64,
    /// Bytes of a table.
    pub table_size: u64,
    /// Of the first cluster.
    pub data: u64,
    /// The root directory's first cluster.
    pub root: u32,
    /// The number after the last cluster.
    pub end: u32,
}

/// An entry of a directory and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The sector with it.
    pub sector: u64,
    /// Its place in the sector.
    pub at: usize,
    /// The file's first cluster; 0 for an empty file.
    pub first: u32,
    /// Bytes of the file.
    pub size: u32,
}

/// A little-endian number of up to four bytes.
fn little(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let field = bytes.get(at..at + count)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u32::from(*byte)),
    )
}

/// Reads some sectors.
pub(crate) fn read(medium: &impl Medium, at: u64, count: usize) -> Result<Vec<u8>, SlotError> {
    let mut bytes = vec![0; count];
    medium
        .read_at(at, &mut bytes)
        .map_err(|source| SlotError::Device {
            doing: "read",
            source,
        })?;
    Ok(bytes)
}

impl Geometry {
    /// Reads it from the partition's first sector.
    ///
    /// # Errors
    /// It is no FAT32 with sectors of 512 bytes.
    pub fn read(medium: &impl Medium) -> Result<Self, SlotError> {
        let head = read(medium, 0, 512)?;
        Self::parse(&head).ok_or(SlotError::Damaged(
            "its first sector is not that of a FAT32",
        ))
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let number = |at, count| little(head, at, count).map(u64::from);
        let (small, sector) = (number(22, 2)?, number(11, 2)?);
        let (cluster, reserved, tables) = (number(13, 1)?, number(14, 2)?, number(16, 1)?);
        let (total, table) = (number(32, 4)?, number(36, 4)?);
        let good = head.get(510..512) == Some(&[0x55, 0xaa])
            && sector == SECTOR
            && small == 0
            && cluster.is_power_of_two()
            && tables > 0;
        let before = reserved + tables * table;
        let clusters = total.checked_sub(before)?.checked_div(cluster)?;
        let end = u32::try_from(clusters).ok()?.checked_add(FIRST)?;
        let geometry = Self {
            cluster: cluster * SECTOR,
            table: reserved * SECTOR,
            tables,
            table_size: table * SECTOR,
            data: before * SECTOR,
            root: little(head, 44, 4)?,
            end,
        };
        (good && u64::from(end) * 4 <= geometry.table_size).then_some(geometry)
    }

    /// The bytes of a cluster.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn place(&self, cluster: u32) -> Result<Range<u64>, SlotError> {
        if !(FIRST..self.end).contains(&cluster) {
            return Err(SlotError::Damaged("a chain leads out of it"));
        }
        let start = self.data + u64::from(cluster - FIRST) * self.cluster;
        Ok(start..start + self.cluster)
    }

    /// The bytes of a chain, neighbours joined.
    ///
    /// # Errors
    /// It leads nowhere or never ends.
    pub fn chain(&self, medium: &impl Medium, first: u32) -> Result<Vec<Range<u64>>, SlotError> {
        let mut extents: Vec<Range<u64>> = Vec::new();
        let (mut cluster, mut left) = (first, self.end);
        let (mut sector, mut bytes) = (u64::MAX, Vec::new());
        while cluster < END {
            let place = self.place(cluster)?;
            match extents.last_mut() {
                Some(last) if last.end == place.start => last.end = place.end,
                _ => extents.push(place),
            }
            left = left
                .checked_sub(1)
                .ok_or(SlotError::Damaged("a chain never ends"))?;
            let at = u64::from(cluster) * 4;
            let wanted = self.table + at / SECTOR * SECTOR;
            if wanted != sector {
                bytes = read(medium, wanted, 512)?;
                sector = wanted;
            }
            let at = usize::try_from(at % SECTOR).unwrap_or_default();
            cluster = little(&bytes, at, 4).unwrap_or_default() & ENTRY_BITS;
        }
        Ok(extents)
    }

    /// Looks for a file by the short names on its path.
    ///
    /// # Errors
    /// A directory is damaged. `None`: it is not there.
    pub fn find(&self, medium: &impl Medium, path: &[Name]) -> Result<Option<Entry>, SlotError> {
        let mut cluster = self.root;
        let Some((file, folders)) = path.split_last() else {
            return Ok(None);
        };
        for name in folders {
            match self.look(medium, cluster, *name, true)? {
                Some(entry) => cluster = entry.first,
                None => return Ok(None),
            }
        }
        self.look(medium, cluster, *file, false)
    }

    fn look(
        &self,
        medium: &impl Medium,
        directory: u32,
        name: Name,
        folder: bool,
    ) -> Result<Option<Entry>, SlotError> {
        let extents = self.chain(medium, directory)?;
        let sectors = extents.into_iter().flat_map(|extent| extent.step_by(512));
        let most = usize::try_from(self.cluster / SECTOR).unwrap_or(1) * DIRECTORY;
        for sector in sectors.take(most) {
            let bytes = read(medium, sector, 512)?;
            for (number, entry) in bytes.chunks(ENTRY).enumerate() {
                let attributes = entry.get(11).copied().unwrap_or_default();
                match entry.first() {
                    // No entry from here on was ever used.
                    Some(0) => return Ok(None),
                    _ if attributes & VOLUME != 0 || (attributes & FOLDER != 0) != folder => {}
                    _ if entry.get(..11) != Some(name.as_slice()) => {}
                    _ => return Ok(found(sector, number * ENTRY, entry)),
                }
            }
        }
        Ok(None)
    }
}

fn found(sector: u64, at: usize, entry: &[u8]) -> Option<Entry> {
    Some(Entry {
        sector,
        at,
        first: (little(entry, 20, 2)? << 16 | little(entry, 26, 2)?) & ENTRY_BITS,
        size: little(entry, 28, 4)?,
    })
}

/// Changes what an entry says of its file, within the sector it is in.
pub(crate) fn point(sector: &mut [u8], entry: &Entry, first: u32, size: u32) -> Option<()> {
    let [low, lower, high, higher] = first.to_le_bytes();
    let entry = sector.get_mut(entry.at..entry.at + ENTRY)?;
    entry.get_mut(20..22)?.copy_from_slice(&[high, higher]);
    entry.get_mut(26..28)?.copy_from_slice(&[low, lower]);
    entry.get_mut(28..32)?.copy_from_slice(&size.to_le_bytes());
    Some(())
}
