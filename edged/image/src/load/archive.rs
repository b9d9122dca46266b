//! The tar of an archive: untrusted, bounded, and nothing of it ever becomes a path.

use std::io::{self, BufRead, BufReader, Read};

use crate::load::intake::Intake;
use crate::store::CHUNK;
use crate::{ImageError, Refusal};

/// The most entries: as many images as are taken, of as many layers, with three entries each, and an extension of each.
const ENTRIES_MAX: usize = 32 * 1024;
/// The most bytes after decompression: more than any box stores, and where a compression bomb ends.
const ARCHIVE_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// The largest window of Zstandard that is given memory: 2^25 bytes, above every level but `--ultra`.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// For messages, before any image of the archive is known by name.
pub(super) const SUBJECT: &str = "archive";

/// Reads a whole archive into `intake`.
pub(super) fn read(source: impl Read, intake: &mut Intake) -> Result<(), ImageError> {
    let mut source = BufReader::with_capacity(CHUNK, Marked(source));
    let start = source.fill_buf().map_err(|error| failed(&error))?;
    match start {
        [0x1f, 0x8b, ..] => entries(flate2::bufread::MultiGzDecoder::new(source), intake),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(source).map_err(|error| failed(&error))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|error| failed(&error))?;
            entries(decoder, intake)
        }
        _ => entries(source, intake),
    }
}

fn entries(source: impl Read, intake: &mut Intake) -> Result<(), ImageError> {
    let refused = |reason| ImageError::refused(SUBJECT, reason);
    let mut archive = tar::Archive::new(Bounded {
        source,
        left: ARCHIVE_MAX,
    });
    // Raw: else the crate reads extensions (long names, pax, sparse maps) of any size into memory before it hands out the
    // entry. What is wanted here has names that need none.
    let entries = archive.entries().map_err(|error| failed(&error))?;
    for (count, entry) in entries.raw(true).enumerate() {
        if count >= ENTRIES_MAX {
            return Err(refused(Refusal::TooManyEntries(ENTRIES_MAX)));
        }
        let entry = entry.map_err(|error| failed(&error))?;
        let name = flat(&entry.path_bytes()).map_err(refused)?;
        match entry.header().entry_type() {
            tar::EntryType::Regular => {
                let left = entry.size();
                intake.file(&name, &mut Whole { entry, left })?;
            }
            // docker writes a layer that it wrote before as a link to it. A link is another name, looked up among the
            // names of this archive and nowhere else.
            tar::EntryType::Symlink | tar::EntryType::Link => {
                if let Some(target) = entry.link_name_bytes() {
                    intake.link(&name, &target);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An entry's name without `./`, refused where it could leave a folder.
fn flat(path: &[u8]) -> Result<String, Refusal> {
    let text = String::from_utf8_lossy(path);
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if text.starts_with('/') || parts.contains(&"..") {
        return Err(Refusal::EntryPath(text.chars().take(80).collect()));
    }
    Ok(parts.join("/"))
}

/// What reading the tar says: our own errors come back as they were, the rest is the archive's fault.
pub(super) fn failed(error: &io::Error) -> ImageError {
    let reason = match error.get_ref() {
        Some(inner) if inner.is::<SourceFailed>() => {
            return ImageError::Input(io::Error::other(error.to_string()));
        }
        Some(inner) if inner.is::<Overlong>() => Refusal::ArchiveTooLarge(ARCHIVE_MAX),
        _ => Refusal::Archive(error.to_string()),
    };
    ImageError::refused(SUBJECT, reason)
}

/// An entry that ends in an error and not in silence when the archive ends within it.
struct Whole<R> {
    entry: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.entry.read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ends within an entry",
            ));
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// The source broke, and not its content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SourceFailed(io::Error);

struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .read(buffer)
            .map_err(|error| io::Error::new(error.kind(), SourceFailed(error)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct Overlong;

/// A reader that ends in an error and not in silence when there is too much.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.left = self
            .left
            .checked_sub(u64::try_from(count).unwrap_or(u64::MAX))
            .ok_or_else(|| io::Error::other(Overlong))?;
        Ok(count)
    }
}
