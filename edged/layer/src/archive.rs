//! The uncompressed archive: a run of chunks, read as blocks and bodies.

use std::sync::Arc;

use crate::UnpackError;
use crate::header::BLOCK;
use crate::pool::{Chunk, Chunks};

/// Reads blocks and bodies from the chunks of the inflating thread.
pub(crate) struct Archive {
    chunks: Chunks,
    current: Option<Arc<Chunk>>,
    at: usize,
    position: u64,
}

impl Archive {
    pub(crate) fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            current: None,
            at: 0,
            position: 0,
        }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// One whole block, or `None` at the archive's end, which may be nowhere but between blocks.
    pub(crate) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, UnpackError> {
        if !self.refill() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        let mut room = &mut block[..];
        self.pieces(u64::try_from(BLOCK).unwrap_or_default(), |piece| {
            if let Some((head, tail)) = std::mem::take(&mut room).split_at_mut_checked(piece.len())
            {
                head.copy_from_slice(piece);
                room = tail;
            }
            Ok(())
        })?;
        Ok(Some(block))
    }

    /// Hands an entry's `size` bytes to `visit`, piece by piece, and skips the padding after them.
    pub(crate) fn body(
        &mut self,
        size: u64,
        visit: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        self.pieces(size, visit)?;
        let block = u64::try_from(BLOCK).unwrap_or_default();
        let padding = size.next_multiple_of(block).saturating_sub(size);
        self.pieces(padding, |_| Ok(()))
    }

    /// After the end mark only zeros may come: writers pad their archives to whole records.
    pub(crate) fn end(&mut self) -> Result<(), UnpackError> {
        while self.refill() {
            let rest = self.rest();
            if let Some(garbage) = rest.iter().position(|byte| *byte != 0) {
                let at = self
                    .position
                    .saturating_add(u64::try_from(garbage).unwrap_or_default());
                return Err(UnpackError::GarbageAfterEnd { at });
            }
            let count = rest.len();
            self.advance(count);
        }
        Ok(())
    }

    fn pieces(
        &mut self,
        mut left: u64,
        mut visit: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        while left > 0 {
            if !self.refill() {
                return Err(UnpackError::TruncatedArchive { at: self.position });
            }
            let rest = self.rest();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = rest.get(..wanted).unwrap_or(rest);
            visit(piece)?;
            let count = piece.len();
            self.advance(count);
            left = left.saturating_sub(u64::try_from(count).unwrap_or_default());
        }
        Ok(())
    }

    /// Makes sure that there is something to read; `false` at the end.
    fn refill(&mut self) -> bool {
        while self.rest().is_empty() {
            self.current = None; // home before we wait for the next
            self.at = 0;
            match self.chunks.recv() {
                Ok(chunk) => self.current = Some(chunk),
                Err(_) => return false,
            }
        }
        true
    }

    fn rest(&self) -> &[u8] {
        self.current
            .as_ref()
            .and_then(|chunk| chunk.get(self.at..))
            .unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
        self.position = self
            .position
            .saturating_add(u64::try_from(count).unwrap_or_default());
    }
}
