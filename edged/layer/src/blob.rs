//! The compressed blob: read once, counted, and handed to the hasher on its way to the inflater.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::UnpackError;
use crate::pool::{Chunk, Pool};

/// A [`BufRead`] over the blob; its errors carry [`UnpackError`]s.
pub(crate) struct Blob<R> {
    reader: R,
    pool: Pool,
    hasher: SyncSender<Arc<Chunk>>,
    current: Option<Arc<Chunk>>,
    at: usize,
    seen: u64,
    expected: u64,
}

impl<R: Read> Blob<R> {
    pub(crate) fn new(reader: R, expected: u64, hasher: SyncSender<Arc<Chunk>>) -> Self {
        Self {
            reader,
            pool: Pool::new(),
            hasher,
            current: None,
            at: 0,
            seen: 0,
            expected,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.current = None;
        self.at = 0;
        let mut chunk = self.pool.take().ok_or_else(lost)?;
        let reader = &mut self.reader;
        let read = chunk.fill(|room| fill(reader, room))?;
        self.seen = self
            .seen
            .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        let (expected, seen) = (self.expected, self.seen);
        if seen > expected {
            return Err(io::Error::other(UnpackError::BlobTooLong {
                expected,
                seen,
            }));
        }
        if read == 0 && seen < expected {
            return Err(io::Error::other(UnpackError::BlobTooShort {
                expected,
                seen,
            }));
        }
        let chunk = Arc::new(chunk);
        self.hasher.send(Arc::clone(&chunk)).map_err(|_| lost())?;
        self.current = Some(chunk);
        Ok(())
    }
}

impl<R: Read> Read for Blob<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Blob<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self
            .current
            .as_ref()
            .is_none_or(|chunk| self.at >= chunk.len())
        {
            self.refill()?;
        }
        Ok(self
            .current
            .as_ref()
            .and_then(|chunk| chunk.get(self.at..))
            .unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }
}

/// Reads until the buffer is full or the reader is at its end.
fn fill(reader: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn lost() -> io::Error {
    io::Error::other(UnpackError::ThreadLost)
}
