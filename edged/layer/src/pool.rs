//! Buffers that go round: filled by one thread, read by others, back to the first when the last reader drops them.
//!
//! The pool is the bound: a producer waits for a free buffer, so no more than its buffers are ever in flight.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use edged_model::Digest;

/// Bytes in a buffer: few system calls and wake-ups for each megabyte, and two of them fit a core's second cache.
pub(crate) const BUFFER: usize = 128 << 10;

/// Buffers in a pool: readers may fall half a megabyte behind before the producer waits, and two pools take 1 MiB.
const BUFFERS: usize = 4;

/// The free buffers of one producer.
pub(crate) struct Pool {
    free: Receiver<Box<[u8]>>,
    home: Sender<Box<[u8]>>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let (home, free) = channel();
        for _ in 0..BUFFERS {
            // The receiver is alive: it is right here.
            let _ = home.send(vec![0; BUFFER].into_boxed_slice());
        }
        Self { free, home }
    }

    /// Waits for a free buffer. Its old content is still in it.
    pub(crate) fn take(&self) -> Option<Chunk> {
        let bytes = self.free.recv().ok()?;
        Some(Chunk {
            bytes,
            filled: 0,
            home: self.home.clone(),
        })
    }
}

/// A buffer away from its pool; it goes home when dropped.
pub(crate) struct Chunk {
    bytes: Box<[u8]>,
    filled: usize,
    home: Sender<Box<[u8]>>,
}

impl Chunk {
    /// Lets `fill` write into the whole buffer and say how much of it counts.
    pub(crate) fn fill<E>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.filled = fill(&mut self.bytes)?;
        Ok(self.filled)
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // A pool that is gone needs no buffers.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// One reader's end of a producer's chunks.
pub(crate) type Chunks = Receiver<Arc<Chunk>>;

/// A channel that holds all of a pool's buffers, so that only [`Pool::take`] ever waits.
pub(crate) fn chunks() -> (SyncSender<Arc<Chunk>>, Chunks) {
    sync_channel(BUFFERS)
}

/// The SHA-256 of everything sent until the producer hangs up.
pub(crate) fn sha256(chunks: &Chunks) -> Option<Digest> {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for chunk in chunks {
        hash.update(&chunk);
    }
    hash.finish()
        .as_ref()
        .try_into()
        .ok()
        .map(Digest::from_sha256)
}
