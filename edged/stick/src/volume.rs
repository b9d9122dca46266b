//! A FAT32 or an exFAT: where its clusters are, which one comes after another, and the bundles in its top folder.
//!
//! References: Microsoft's "FAT32 File System Specification" 1.03 and "exFAT file system specification".

use std::io::{self, Read, Seek, SeekFrom};

use crate::error::StickError;
use crate::{exfat, fat};

/// Bytes that say which file system it is, and all of its measures.
pub(crate) const HEAD: usize = 512;
/// Bytes of an entry of a folder, in both file systems.
pub(crate) const ENTRY: usize = 32;
/// 0 and 1 are no clusters.
pub(crate) const FIRST: u32 = 2;
/// Most bytes of a folder that are read: 65,536 entries, which is all that FAT32 allows.
const FOLDER: u64 = 2 << 20;
/// How the name of a bundle ends, whatever its case.
const SUFFIX: &str = ".update";

/// The two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// FAT32.
    Fat32,
    /// exFAT.
    Exfat,
}

/// Where things are: in bytes from the beginning, or in clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub kind: Kind,
    /// The table that says which cluster comes after another.
    pub table: u64,
    /// The first cluster.
    pub heap: u64,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Clusters.
    pub count: u32,
    /// The top folder's first one.
    pub root: u32,
}

/// A file in the top folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name; what could play with a terminal is a question mark.
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub(crate) first: u32,
    /// Its clusters are neighbours, and the table does not speak of them.
    pub(crate) contiguous: bool,
}

impl File {
    /// From what an entry says.
    pub(crate) fn new(name: &[u16], size: u64, first: u32, contiguous: bool) -> Self {
        let known = |char: &char| char.is_alphanumeric() || " .,-_+()".contains(*char);
        let shown = char::decode_utf16(name.iter().copied())
            .map(|char| char.ok().filter(known).unwrap_or('?'));
        Self {
            name: shown.collect(),
            size,
            first,
            contiguous,
        }
    }

    /// Whether an operator means it. What begins with a dot a Mac has put beside the file that it belongs to.
    fn is_bundle(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.ends_with(SUFFIX) && !name.starts_with('.')
    }
}

/// A volume on a medium.
#[derive(Debug)]
pub struct Volume<R> {
    medium: R,
    geometry: Geometry,
}

/// A little-endian number of up to eight bytes; one that is not all there is none.
pub(crate) fn little(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(count)?)?;
    let sum = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    Some(field.iter().rev().fold(0, sum))
}

/// A little-endian number of up to four bytes.
pub(crate) fn small(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    u32::try_from(little(bytes, at, count)?).ok()
}

/// Characters of a part of a name.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .chunks_exact(2)
        .filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)))
}

impl<R: Read + Seek> Volume<R> {
    /// Looks at the first sector; `None`: it is neither file system.
    ///
    /// # Errors
    /// The medium's.
    pub fn open(mut medium: R) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD];
        medium.seek(SeekFrom::Start(0))?;
        match medium.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let geometry = exfat::geometry(&head).or_else(|| fat::geometry(&head));
        Ok(geometry.map(|geometry| Self { medium, geometry }))
    }

    /// The bundles in the top folder.
    ///
    /// # Errors
    /// The folder is longer than any, or the medium's.
    pub fn bundles(&mut self) -> Result<Vec<File>, StickError> {
        let folder = self.folder()?;
        let files = match self.geometry.kind {
            Kind::Fat32 => fat::files(&folder),
            Kind::Exfat => exfat::files(&folder),
        };
        Ok(files.into_iter().filter(File::is_bundle).collect())
    }

    /// All of the top folder. It ends where its chain does.
    fn folder(&mut self) -> Result<Vec<u8>, StickError> {
        let mut folder = Vec::new();
        let mut cluster = Some(self.geometry.root);
        while let Some(at) = cluster {
            let place = self.place(at).ok_or(StickError::Damaged(
                "its top folder is not where it should be",
            ))?;
            self.medium
                .seek(SeekFrom::Start(place))
                .map_err(StickError::Read)?;
            let before = folder.len();
            (&mut self.medium)
                .take(self.geometry.cluster.min(FOLDER))
                .read_to_end(&mut folder)
                .map_err(StickError::Read)?;
            let read = folder.get(before..).unwrap_or_default();
            // No entry from here on was ever used: the same in both.
            if read.is_empty() || read.chunks(ENTRY).any(|entry| entry.first() == Some(&0)) {
                break;
            }
            if u64::try_from(folder.len()).unwrap_or(u64::MAX) >= FOLDER {
                return Err(StickError::Damaged("its top folder does not end"));
            }
            cluster = self.after(at).map_err(StickError::Read)?;
        }
        Ok(folder)
    }

    /// Bytes of a cluster.
    pub(crate) fn cluster(&self) -> u64 {
        self.geometry.cluster
    }

    /// Where a cluster begins, if there is one of that number.
    pub(crate) fn place(&self, cluster: u32) -> Option<u64> {
        let number = cluster.checked_sub(FIRST)?;
        let before = (number < self.geometry.count).then_some(u64::from(number))?;
        self.geometry
            .heap
            .checked_add(before.checked_mul(self.geometry.cluster)?)
    }

    /// Which cluster comes after one; `None`: none, or something that is no cluster.
    pub(crate) fn after(&mut self, cluster: u32) -> io::Result<Option<u32>> {
        let mut entry = [0; 4];
        let at = self.geometry.table.saturating_add(u64::from(cluster) * 4);
        self.medium.seek(SeekFrom::Start(at))?;
        self.medium.read_exact(&mut entry)?;
        let entry = u32::from_le_bytes(entry);
        let next = match self.geometry.kind {
            // The four highest bits are somebody else's.
            Kind::Fat32 => entry & 0x0fff_ffff,
            Kind::Exfat => entry,
        };
        Ok(self.place(next).map(|_| next))
    }

    /// Reads from a place.
    pub(crate) fn read_at(&mut self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.medium.seek(SeekFrom::Start(place))?;
        self.medium.read(buffer)
    }
}
