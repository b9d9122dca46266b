//! How the build lays out both slots: clusters of their own, one after the other, for as much as a slot takes.
//!
//! For a partition that nobody uses yet, in which both files are there and empty (as mtools leaves them).

use edged_protocol::slot::Slot;

use crate::error::SlotError;
use crate::fat::{ENTRY_BITS, Entry, Geometry, point, read};
use crate::medium::{Medium, SECTOR};
use crate::slots::{A, B, FOLDER};

/// The file system's own count of free clusters, which is only a hint, in the sector after the first one and in the copy
/// of both. What it says when it does not know.
const COUNT_SECTORS: [u64; 2] = [1, 7];
const COUNT: usize = 488;
const UNKNOWN: [u8; 8] = [0xff; 8];
/// Ends a chain.
const END: u32 = ENTRY_BITS;

/// Gives both files `room` bytes of clusters and the size of what they will hold.
///
/// # Errors
/// There is no room, or the files are not there.
pub fn out(medium: &impl Medium, room: u64, size: u32) -> Result<(), SlotError> {
    let fat = Geometry::read(medium)?;
    let count = u32::try_from(room / fat.cluster).unwrap_or(u32::MAX);
    let mut table = read(
        medium,
        fat.table,
        usize::try_from(fat.table_size).unwrap_or_default(),
    )?;
    for (slot, name) in [(Slot::A, A), (Slot::B, B)] {
        let [efi, umec] = FOLDER;
        let entry = fat.find(medium, &[efi, umec, name])?;
        let entry = entry.ok_or(SlotError::Missing("file for an image"))?;
        let first = free(&table, count, fat.end).ok_or(SlotError::TooLarge {
            slot,
            size: room,
            room: 0,
        })?;
        for cluster in first..first + count {
            let next = if cluster + 1 == first + count {
                END
            } else {
                cluster + 1
            };
            set(&mut table, cluster, next);
        }
        aim(medium, &entry, first, size)?;
    }
    for copy in 0..fat.tables {
        write(medium, fat.table + copy * fat.table_size, &table)?;
    }
    for at in COUNT_SECTORS.map(|sector| sector * SECTOR) {
        let mut sector = read(medium, at, 512)?;
        if let Some(place) = sector.get_mut(COUNT..COUNT + UNKNOWN.len()) {
            place.copy_from_slice(&UNKNOWN);
        }
        write(medium, at, &sector)?;
    }
    medium.sync().map_err(|source| SlotError::Device {
        doing: "written",
        source,
    })
}

fn aim(medium: &impl Medium, entry: &Entry, first: u32, size: u32) -> Result<(), SlotError> {
    let mut sector = read(medium, entry.sector, 512)?;
    point(&mut sector, entry, first, size).ok_or(SlotError::Damaged("an entry is cut off"))?;
    write(medium, entry.sector, &sector)
}

fn write(medium: &impl Medium, at: u64, bytes: &[u8]) -> Result<(), SlotError> {
    let written = medium.write_at(at, bytes);
    written.map_err(|source| SlotError::Device {
        doing: "written",
        source,
    })
}

/// The first of so many free clusters in a row.
fn free(table: &[u8], count: u32, end: u32) -> Option<u32> {
    let mut run = 0;
    for (cluster, entry) in (0..end).zip(table.chunks_exact(4)) {
        let used = entry.iter().any(|byte| *byte != 0);
        run = if used { 0 } else { run + 1 };
        if run == count {
            return Some(cluster + 1 - count);
        }
    }
    None
}

fn set(table: &mut [u8], cluster: u32, next: u32) {
    let entry = usize::try_from(cluster)
        .ok()
        .and_then(|cluster| table.chunks_exact_mut(4).nth(cluster));
    if let Some(entry) = entry {
        entry.copy_from_slice(&next.to_le_bytes());
    }
}
