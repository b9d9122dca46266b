//! The notifications that wait for one subscriber, oldest first, bounded in number and in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// Notifications of one subscription that wait: a receiver that restarts misses none of a normal minute.
pub(crate) const QUEUE_MAX: usize = 64;
/// Their bytes: with every subscription's queue full of them the box still stands.
const QUEUE_BYTES_MAX: usize = 64 * 1024;
/// The largest notification: those of MEC are a few hundred bytes.
pub(crate) const NOTIFICATION_MAX: usize = 32 * 1024;

/// A notification that waits.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Counted within its queue.
    pub(crate) sequence: u64,
    /// JSON.
    pub(crate) body: Bytes,
    /// When it was handed over.
    pub(crate) since: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    next: u64,
    /// The oldest is on its way and cannot be taken back.
    leaving: bool,
}

impl Queue {
    /// Adds one of at most [`NOTIFICATION_MAX`]; how many older ones had to go for it.
    pub(crate) fn push(&mut self, body: Bytes, now: Instant) -> u64 {
        self.bytes += body.len();
        self.items.push_back(Item {
            sequence: self.next,
            body,
            since: now,
        });
        self.next += 1;
        let mut dropped = 0;
        while self.items.len() > QUEUE_MAX || self.bytes > QUEUE_BYTES_MAX {
            // One that is on its way stays: the next oldest goes. Two of the largest fit, so the new one never does.
            let Some(oldest) = self.items.remove(usize::from(self.leaving)) else {
                break;
            };
            self.bytes -= oldest.body.len();
            dropped += 1;
        }
        dropped
    }

    /// The oldest, which is on its way from now on.
    pub(crate) fn start(&mut self) -> Option<Item> {
        let item = self.items.front().cloned();
        self.leaving = item.is_some();
        item
    }

    /// The oldest is not on its way any more.
    pub(crate) fn put_back(&mut self) {
        self.leaving = false;
    }

    /// The oldest is done with; whether it was this one.
    pub(crate) fn finish(&mut self, sequence: u64) -> bool {
        self.leaving = false;
        self.pop_if(|item| item.sequence == sequence)
    }

    /// Removes what is older than `age`; how many.
    pub(crate) fn age_out(&mut self, age: Duration) -> u64 {
        let mut dropped = 0;
        while self.pop_if(|item| item.since.elapsed() > age) {
            dropped += 1;
        }
        dropped
    }

    fn pop_if(&mut self, goes: impl Fn(&Item) -> bool) -> bool {
        if !self.items.front().is_some_and(goes) {
            return false;
        }
        let oldest = self.items.pop_front();
        self.bytes -= oldest.map_or(0, |item| item.body.len());
        true
    }

    /// Removes everything; how many.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.items.drain(..).map(|_| 1).sum();
        self.bytes = 0;
        self.leaving = false;
        count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(queue: &mut Queue) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(item) = queue.start() {
            texts.push(String::from_utf8(item.body.to_vec()).unwrap());
            assert!(queue.finish(item.sequence));
        }
        texts
    }

    #[test]
    fn a_full_queue_loses_its_oldest_but_not_the_one_on_its_way() {
        let mut queue = Queue::default();
        let push = |queue: &mut Queue, n: usize| queue.push(n.to_string().into(), Instant::now());
        for n in 0..QUEUE_MAX {
            assert_eq!(push(&mut queue, n), 0);
        }
        assert_eq!(push(&mut queue, QUEUE_MAX), 1);
        assert_eq!(queue.start().unwrap().body, "1");
        assert_eq!(push(&mut queue, QUEUE_MAX + 1), 1);
        let left = text(&mut queue);
        assert_eq!(left.len(), QUEUE_MAX);
        assert_eq!(left[..3], ["1", "3", "4"]);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn large_notifications_are_bounded_by_their_bytes() {
        let mut queue = Queue::default();
        let large = Bytes::from(vec![b'x'; NOTIFICATION_MAX]);
        for _ in 0..10 {
            queue.push(large.clone(), Instant::now());
        }
        assert_eq!(queue.items.len(), QUEUE_BYTES_MAX / NOTIFICATION_MAX);
        queue.push(Bytes::from_static(b"y"), Instant::now());
        assert_eq!(queue.items.back().unwrap().body, "y");
        assert_eq!(queue.clear(), 2);
    }
}
