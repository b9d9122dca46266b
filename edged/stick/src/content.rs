//! The bytes of a file.

use std::io::{self, Read, Seek};

use crate::volume::{File, Volume};

/// A file, read from its beginning to its end.
#[derive(Debug)]
pub struct Content<'a, R> {
    volume: &'a mut Volume<R>,
    cluster: u32,
    /// Bytes of the cluster that were read.
    within: u64,
    /// Bytes of the file that were not.
    left: u64,
    contiguous: bool,
}

impl<'a, R: Read + Seek> Content<'a, R> {
    /// Of a file of this volume.
    pub fn new(volume: &'a mut Volume<R>, file: &File) -> Self {
        Self {
            volume,
            cluster: file.first,
            within: 0,
            left: file.size,
            contiguous: file.contiguous,
        }
    }

    /// Goes on to the next cluster.
    fn turn(&mut self) -> io::Result<()> {
        let next = if self.contiguous {
            self.cluster.checked_add(1)
        } else {
            self.volume.after(self.cluster)?
        };
        self.cluster = next.ok_or_else(too_short)?;
        self.within = 0;
        Ok(())
    }
}

fn too_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the file ends before its size",
    )
}

/// Never more than the size that the folder told: a chain that loops does not make a file longer.
impl<R: Read + Seek> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        if self.within == self.volume.cluster() {
            self.turn()?;
        }
        let place = self.volume.place(self.cluster).ok_or_else(too_short)?;
        let most = (self.volume.cluster() - self.within).min(self.left);
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let place = place.checked_add(self.within).ok_or_else(too_short)?;
        let read = self.volume.read_at(place, part)?;
        if read == 0 {
            return Err(too_short());
        }
        let count = u64::try_from(read).unwrap_or(u64::MAX);
        self.within = self.within.saturating_add(count);
        self.left = self.left.saturating_sub(count);
        Ok(read)
    }
}
