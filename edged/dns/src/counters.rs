//! What the resolver has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start; each is read on its own, so sums may be off by what is under way.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) queries: AtomicU64,
    pub(crate) unusual: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) forward_failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) ignored: AtomicU64,
    pub(crate) tcp_turned_away: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages received over UDP and TCP.
    pub queries: u64,
    /// Of these, the ones that were not plain questions and took the slow path.
    pub unusual: u64,
    /// Questions sent to an upstream.
    pub forwarded: u64,
    /// Of these, the ones that no upstream answered, and those over the bound of what may be under way.
    pub forward_failed: u64,
    /// Questions refused: names of others from a source that may not forward, zone transfers, other classes.
    pub refused: u64,
    /// Messages that no answer was due to.
    pub ignored: u64,
    /// TCP connections closed at once because too many were open.
    pub tcp_turned_away: u64,
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            queries: read(&self.queries),
            unusual: read(&self.unusual),
            forwarded: read(&self.forwarded),
            forward_failed: read(&self.forward_failed),
            refused: read(&self.refused),
            ignored: read(&self.ignored),
            tcp_turned_away: read(&self.tcp_turned_away),
        }
    }
}
