//! The records of a ZIP file: end record, directory, local headers.

use super::bytes::Records;
use super::name;
use super::region::Region;
use crate::error::{PackageError, WHOLE};
use crate::limits::Limits;

const END_SIGNATURE: u32 = 0x0605_4b50;
const END_LEN: u64 = 22;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const CENTRAL_LEN: u64 = 46;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const LOCAL_LEN: usize = 30;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
/// A data descriptor without and with its signature, which not every writer sets.
const DESCRIPTOR_LENS: [u64; 2] = [12, 16];
/// Directory bytes for one entry on average: 46 of header, a name, a few extra fields.
const CENTRAL_MEAN_MAX: u64 = 1024;
/// Sizes follow the data; the directory has them too.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Bits 1 and 2 tell how hard the writer compressed, bit 11 that the name is UTF-8: harmless.
const FLAGS_TAKEN: u16 = 0b1000_0000_1110;
const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// In a 32-bit field: the value is in a 64-bit extension.
const IN_ZIP64: u32 = u32::MAX;
/// stat(2) types in the upper half of the external attributes, as Unix writers set them.
const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;

/// How the bytes of an entry are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

/// A file in the archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
    pub(crate) method: Method,
    pub(crate) crc: u32,
    pub(crate) packed: u64,
    pub(crate) size: u64,
    flags: u16,
    local: u64,
    data: u64,
}

impl Entry {
    pub(crate) fn region(&self, archive: &Region) -> Option<Region> {
        archive.part(self.data, self.packed)
    }

    pub(crate) fn stored_in(&self, archive: &Region) -> Option<Region> {
        (self.method == Method::Stored)
            .then(|| self.region(archive))
            .flatten()
    }
}

fn cut_short() -> PackageError {
    PackageError::archive(
        WHOLE,
        "the directory is cut short; send the whole file again",
    )
}

fn read(region: &Region, offset: u64, count: u64) -> Result<Vec<u8>, PackageError> {
    if region.part(offset, count).is_none() {
        return Err(cut_short());
    }
    let mut buffer = vec![0; usize::try_from(count).map_err(|_| cut_short())?];
    region
        .read_exact(offset, &mut buffer)
        .map_err(|source| PackageError::read(WHOLE, source))?;
    Ok(buffer)
}

/// The directory's count of entries, length and offset, from the record that ends the file.
fn end(region: &Region) -> Result<(u64, u64, u64), PackageError> {
    let at = region.len().saturating_sub(END_LEN);
    let no_zip = || {
        PackageError::archive(
            WHOLE,
            "there is no ZIP directory at the end; this is no ZIP, or cut short, or has a comment: make it without",
        )
    };
    let buffer = read(region, at, END_LEN).map_err(|_| no_zip())?;
    let mut records = Records(&buffer);
    let mut fields = || {
        let signature = records.u32()?;
        let disks = (records.u16()?, records.u16()?);
        let counts = (records.u16()?, records.u16()?);
        Some((
            signature,
            disks,
            counts,
            records.u32()?,
            records.u32()?,
            records.u16()?,
        ))
    };
    let (signature, disks, counts, len, offset, comment) = fields().ok_or_else(no_zip)?;
    if signature != END_SIGNATURE || comment != 0 {
        return Err(no_zip());
    }
    if disks != (0, 0) || counts.0 != counts.1 {
        return Err(PackageError::archive(
            WHOLE,
            "this ZIP has several volumes; make one file",
        ));
    }
    if len == IN_ZIP64 || offset == IN_ZIP64 || counts.0 == u16::MAX {
        return Err(PackageError::archive(
            WHOLE,
            "ZIP64 is not taken; stay below 4 GiB",
        ));
    }
    let (len, offset) = (u64::from(len), u64::from(offset));
    // Anything between the directory and its end record, or before the first entry, is hidden from some readers.
    if offset.checked_add(len) != Some(at) {
        return Err(PackageError::archive(
            WHOLE,
            "the directory does not end where the end record begins; pack it again with a plain ZIP tool",
        ));
    }
    Ok((u64::from(counts.0), len, offset))
}

/// The entries of the directory, in its order, with names and kinds checked.
pub(crate) fn directory(region: &Region, limits: &Limits) -> Result<Vec<Entry>, PackageError> {
    let (count, len, offset) = end(region)?;
    PackageError::bound(WHOLE, "entries", count, limits.entries)?;
    let len_max = limits.entries.saturating_mul(CENTRAL_MEAN_MAX);
    PackageError::bound(WHOLE, "bytes of directory", len, len_max.max(CENTRAL_LEN))?;
    let buffer = read(region, offset, len)?;
    let mut records = Records(&buffer);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(central(&mut records)?);
    }
    if !records.0.is_empty() {
        return Err(PackageError::archive(
            WHOLE,
            "the directory has more than its end record counts; pack it again",
        ));
    }
    let mut by_place: Vec<&mut Entry> = entries.iter_mut().collect();
    by_place.sort_by_key(|entry| entry.local);
    for entry in by_place {
        entry.data = local(region, entry)?;
    }
    Ok(entries)
}

fn central(records: &mut Records<'_>) -> Result<Entry, PackageError> {
    let signature = records.u32().ok_or_else(cut_short)?;
    if signature != CENTRAL_SIGNATURE {
        return Err(PackageError::archive(
            WHOLE,
            "the directory is damaged; pack it again",
        ));
    }
    let mut fields = || {
        records.take(4)?; // versions
        let flags = records.u16()?;
        let method = records.u16()?;
        records.take(4)?; // time and date: the manifest has the one that counts
        let crc = records.u32()?;
        let (packed, size) = (records.u32()?, records.u32()?);
        let (name, extra, comment) = (records.u16()?, records.u16()?, records.u16()?);
        let disk = records.u16()?;
        records.take(2)?; // internal attributes
        let attributes = records.u32()?;
        let local = records.u32()?;
        let name = records.take(usize::from(name))?;
        records.take(usize::from(extra))?;
        records.take(usize::from(comment))?;
        Some((
            flags, method, crc, packed, size, disk, attributes, local, name,
        ))
    };
    let (flags, method, crc, packed, size, disk, attributes, local, raw) =
        fields().ok_or_else(cut_short)?;
    let text = String::from_utf8_lossy(raw);
    let (name, folder) = text
        .strip_suffix('/')
        .map_or((text.as_ref(), false), |name| (name, true));
    let refuse = |reason: &str| Err(PackageError::archive(name, reason));
    if let Some(rule) = name::fault(name) {
        return Err(PackageError::archive(
            &text.escape_debug().take(80).collect::<String>(),
            format!("this name is not safe: {rule}"),
        ));
    }
    if flags & FLAGS_ENCRYPTED != 0 {
        return refuse("this entry is encrypted; packages are signed and not secret");
    }
    if flags & !FLAGS_TAKEN != 0 {
        return refuse(
            "this entry uses a ZIP feature that is not taken; pack it again, stored or deflated",
        );
    }
    let method = match method {
        0 => Method::Stored,
        8 => Method::Deflated,
        _ => {
            return refuse(
                "this entry is compressed by a method other than deflate; pack it again",
            );
        }
    };
    if [packed, size, local].contains(&IN_ZIP64) || disk != 0 {
        return refuse("ZIP64 and several volumes are not taken; stay below 4 GiB in one file");
    }
    let kind = (attributes >> 16) & TYPE_MASK;
    let kind_taken = match kind {
        0 => true,
        TYPE_FILE => !folder,
        TYPE_FOLDER => folder,
        _ => false,
    };
    if !kind_taken {
        return refuse("this entry is a link or a device; only files and folders are taken");
    }
    if (folder && size != 0) || (method == Method::Stored && packed != size) {
        return refuse("the sizes of this entry contradict each other; pack it again");
    }
    Ok(Entry {
        name: name.to_owned(),
        folder,
        method,
        crc,
        packed: u64::from(packed),
        size: u64::from(size),
        flags,
        local: u64::from(local),
        data: 0,
    })
}

/// Checks the header before an entry's bytes against the directory; gives the offset of the bytes.
fn local(region: &Region, entry: &Entry) -> Result<u64, PackageError> {
    let refuse = |reason: &str| PackageError::archive(&entry.name, reason);
    let cut = || refuse("this entry is cut short; send the whole file again");
    let mut buffer = [0; LOCAL_LEN];
    region
        .read_exact(entry.local, &mut buffer)
        .map_err(|_| cut())?;
    let mut records = Records(&buffer);
    let mut fields = || {
        let signature = records.u32()?;
        records.take(2)?;
        let flags = records.u16()?;
        let method = records.u16()?;
        records.take(4)?;
        let sums = (records.u32()?, records.u32()?, records.u32()?);
        Some((
            signature,
            flags,
            method,
            sums,
            records.u16()?,
            records.u16()?,
        ))
    };
    let (signature, flags, method, sums, name_len, extra_len) = fields().ok_or_else(cut)?;
    let name_at = entry.local.saturating_add(30);
    let mut name = vec![0; usize::from(name_len)];
    region.read_exact(name_at, &mut name).map_err(|_| cut())?;
    let name_fits = name.strip_suffix(b"/").unwrap_or(&name) == entry.name.as_bytes()
        && name.ends_with(b"/") == entry.folder;
    let (crc, packed, size) = sums;
    let listed = (entry.crc, entry.packed, entry.size);
    let sums_fit = (crc, u64::from(packed), u64::from(size)) == listed
        || (flags & FLAG_DESCRIPTOR != 0 && sums == (0, 0, 0));
    let method_fits = u16::from(entry.method == Method::Deflated) * 8 == method;
    if signature != LOCAL_SIGNATURE
        || flags != entry.flags
        || !method_fits
        || !name_fits
        || !sums_fit
    {
        return Err(refuse(
            "its header and the directory disagree; pack it again with a plain ZIP tool",
        ));
    }
    Ok(name_at
        .saturating_add(u64::from(name_len))
        .saturating_add(u64::from(extra_len)))
}

/// Entries fill the file from its first byte to the directory: nothing overlaps, nothing hides in between.
pub(crate) fn side_by_side(region: &Region, entries: &[Entry]) -> Result<(), PackageError> {
    let (_, _, directory) = end(region)?;
    let mut by_place: Vec<&Entry> = entries.iter().collect();
    by_place.sort_by_key(|entry| entry.local);
    let starts = by_place.iter().map(|entry| entry.local);
    let ends = starts.skip(1).chain([directory]);
    let first = by_place.first().map_or(directory, |entry| entry.local);
    if first != 0 {
        return Err(PackageError::archive(
            WHOLE,
            "there are bytes before the first entry; pack it again with a plain ZIP tool",
        ));
    }
    for (entry, next) in by_place.iter().zip(ends) {
        let end = entry.data.saturating_add(entry.packed);
        let gap = next.checked_sub(end);
        let fits = if entry.flags & FLAG_DESCRIPTOR == 0 {
            gap == Some(0)
        } else {
            gap.is_some_and(|gap| DESCRIPTOR_LENS.contains(&gap))
                && descriptor_fits(region, entry, end, gap.unwrap_or(0))?
        };
        if !fits {
            return Err(PackageError::archive(
                &entry.name,
                "it overlaps its neighbour, or bytes hide behind it, or it is cut short; pack it again",
            ));
        }
    }
    Ok(())
}

fn descriptor_fits(
    region: &Region,
    entry: &Entry,
    at: u64,
    len: u64,
) -> Result<bool, PackageError> {
    let buffer = read(region, at, len)?;
    let mut records = Records(&buffer);
    if buffer.len() == 16 && records.u32() != Some(DESCRIPTOR_SIGNATURE) {
        return Ok(false);
    }
    let sums = (
        records.u32(),
        records.u32().map(u64::from),
        records.u32().map(u64::from),
    );
    Ok(sums == (Some(entry.crc), Some(entry.packed), Some(entry.size)))
}
