//! What became of the notifications, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Notifications that a receiver took.
    pub sent: u64,
    /// Attempts that failed; a notification may fail several times and still be sent.
    pub failed: u64,
    /// Notifications given up: queue full, too old, too large, refused for good, or their subscription ended.
    pub dropped: u64,
    /// Notifications that wait now.
    pub queued: u64,
}

/// Shared by every lane.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: read(&self.sent),
            failed: read(&self.failed),
            dropped: read(&self.dropped),
            queued: read(&self.queued),
        }
    }

    pub(crate) fn queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// One that waited was sent.
    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many that waited were given up.
    pub(crate) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.queued.fetch_sub(count, Ordering::Relaxed);
    }

    /// One that never got into a queue.
    pub(crate) fn refused(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}
