//! A strict reader of ZIP (APPNOTE 6.3.10) for files that strangers send.
//!
//! It takes less than the format allows, so that two readers can never see two different archives in one file: the end
//! record is the last thing, the entries lie side by side without gap or overlap, both headers of an entry agree, and
//! stored or deflated is all there is. No 64-bit extension, no encryption, no links, no second volume.

mod bytes;
mod headers;
mod name;
mod region;
mod verified;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{PackageError, WHOLE};
use crate::limits::Limits;

pub(crate) use headers::Entry;
pub(crate) use region::Region;
pub use verified::VerifiedReader;
pub(crate) use write::Writer;

/// The files of a package, by name; folders are checked and forgotten.
#[derive(Debug)]
pub(crate) struct Archive {
    region: Region,
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Reads the directory and checks every header; no content is unpacked.
    pub(crate) fn open(region: Region, limits: &Limits) -> Result<Self, PackageError> {
        PackageError::bound(WHOLE, "bytes", region.len(), limits.package)?;
        let listed = headers::directory(&region, limits)?;
        let mut total = 0_u64;
        for entry in &listed {
            PackageError::bound(&entry.name, "bytes when unpacked", entry.size, limits.file)?;
            let ratio = entry.size / entry.packed.max(1);
            PackageError::bound(&entry.name, "times its packed size", ratio, limits.ratio)?;
            total = total.saturating_add(entry.size);
        }
        PackageError::bound(WHOLE, "bytes when unpacked", total, limits.total)?;
        headers::side_by_side(&region, &listed)?;
        let mut entries = BTreeMap::new();
        let mut folded = BTreeSet::new();
        for entry in listed {
            if !folded.insert(entry.name.to_ascii_lowercase()) {
                return Err(PackageError::archive(
                    &entry.name,
                    "this name is there twice (upper and lower case count as one); keep one of them",
                ));
            }
            if !entry.folder {
                entries.insert(entry.name.clone(), entry);
            }
        }
        let files: BTreeSet<String> = entries
            .keys()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        for name in &folded {
            let inside_a_file = name
                .match_indices('/')
                .filter_map(|(at, _)| name.get(..at))
                .any(|parent| files.contains(parent));
            if inside_a_file {
                return Err(PackageError::archive(
                    name,
                    "a part of this name is a file and not a folder; rename one of them",
                ));
            }
        }
        Ok(Self { region, entries })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Where the bytes of an entry lie when they are stored as they are.
    pub(crate) fn stored(&self, entry: &Entry) -> Option<Region> {
        entry.stored_in(&self.region)
    }

    /// Reads an entry; its size and checksum are verified at its end.
    pub(crate) fn reader(&self, entry: &Entry) -> Result<VerifiedReader, PackageError> {
        VerifiedReader::new(&self.region, entry)
    }

    /// A file that is held in memory.
    pub(crate) fn bytes(&self, entry: &Entry, limits: &Limits) -> Result<Vec<u8>, PackageError> {
        PackageError::bound(&entry.name, "bytes", entry.size, limits.text)?;
        self.reader(entry)?.into_bytes()
    }

    /// A text that is held in memory.
    pub(crate) fn text(&self, entry: &Entry, limits: &Limits) -> Result<String, PackageError> {
        text(&entry.name, self.bytes(entry, limits)?)
    }
}

/// The bytes of a file as text.
pub(crate) fn text(file: &str, bytes: Vec<u8>) -> Result<String, PackageError> {
    String::from_utf8(bytes)
        .map_err(|_| PackageError::archive(file, "this file is no UTF-8; write it as UTF-8"))
}
