//! What the boot partition lies on: sectors that are read and written, and an order between writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Bytes of a sector: what a disk writes wholly or not at all.
pub const SECTOR: u64 = 512;
/// Most bytes of one write. Each is durable when it returns, so few and large ones.
pub const CHUNK: usize = 1 << 20;

/// Sectors. Places and lengths are multiples of [`SECTOR`].
pub trait Medium {
    /// Fills a buffer.
    ///
    /// # Errors
    /// The device's.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes a buffer. Before the next [`sync`](Self::sync) it may be on the medium in part, and later writes before it.
    ///
    /// # Errors
    /// The device's.
    fn write_at(&self, at: u64, buffer: &[u8]) -> io::Result<()>;

    /// Whatever was written is on the medium when this returns.
    ///
    /// # Errors
    /// The device's.
    fn sync(&self) -> io::Result<()>;
}

impl<M: Medium + ?Sized> Medium for &M {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(at, buffer)
    }

    fn write_at(&self, at: u64, buffer: &[u8]) -> io::Result<()> {
        (**self).write_at(at, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
}

/// A partition of the box, past the page cache: what is read back has been on the medium.
#[derive(Debug)]
pub struct Partition(File);

/// A buffer as direct input and output want it: at a multiple of [`ALIGNMENT`].
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

/// A page's: no device asks for more.
const ALIGNMENT: usize = 4096;

impl Buffer {
    fn of(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start }
    }

    fn part(&mut self, length: usize) -> io::Result<&mut [u8]> {
        let part = self.bytes.get_mut(self.start..self.start + length);
        part.ok_or_else(|| io::Error::other("a chunk longer than its buffer"))
    }
}

impl Partition {
    /// Opens a device node; nobody else may have it open, such as a mount.
    ///
    /// # Errors
    /// It is in use, or not there.
    pub fn open(node: &Path) -> io::Result<Self> {
        use rustix::fs::OFlags;
        let flags = OFlags::DIRECT | OFlags::DSYNC | OFlags::EXCL;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(node)?;
        Ok(Self(file))
    }
}

/// Where the next chunk begins.
fn after(at: u64, length: usize) -> io::Result<u64> {
    let length = u64::try_from(length).map_err(io::Error::other)?;
    at.checked_add(length)
        .ok_or_else(|| io::Error::other("a place beyond every disk"))
}

impl Medium for Partition {
    fn read_at(&self, mut at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut through = Buffer::of(buffer.len().min(CHUNK));
        for chunk in buffer.chunks_mut(CHUNK) {
            let part = through.part(chunk.len())?;
            self.0.read_exact_at(part, at)?;
            chunk.copy_from_slice(part);
            at = after(at, chunk.len())?;
        }
        Ok(())
    }

    fn write_at(&self, mut at: u64, buffer: &[u8]) -> io::Result<()> {
        let mut through = Buffer::of(buffer.len().min(CHUNK));
        for chunk in buffer.chunks(CHUNK) {
            let part = through.part(chunk.len())?;
            part.copy_from_slice(chunk);
            self.0.write_all_at(part, at)?;
            at = after(at, chunk.len())?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The boot partition inside the file of a whole disk that is switched off.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    offset: u64,
}

impl DiskFile {
    /// The partition that begins at `offset`.
    ///
    /// # Errors
    /// The file is not there.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file, offset })
    }
}

impl Medium for DiskFile {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, self.offset + at)
    }

    fn write_at(&self, at: u64, buffer: &[u8]) -> io::Result<()> {
        self.file.write_all_at(buffer, self.offset + at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
