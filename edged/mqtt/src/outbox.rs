//! Events that wait for the broker: bounded, one a topic, the newest wins, oldest topic first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::error::EventError;
use crate::event::{Delivery, EventTopic};

/// Topics that wait at most: instances and services of one box, several times over.
pub(crate) const TOPICS_MAX: usize = 1024;
/// Bytes of one event: a state with its facets is about one kilobyte.
pub(crate) const EVENT_BYTES_MAX: usize = 16 * 1024;
/// Bytes that wait at most, payloads and topics: a share of edged's 12 MiB.
pub(crate) const OUTBOX_BYTES_MAX: usize = 1024 * 1024;

/// One state to announce.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) topic: EventTopic,
    pub(crate) payload: Vec<u8>,
    pub(crate) retained: bool,
    confirm: oneshot::Sender<Delivery>,
    order: u64,
}

impl Event {
    /// Tells whoever waits; nobody may.
    pub(crate) fn resolve(self, delivery: Delivery) {
        let _ = self.confirm.send(delivery);
    }

    fn cost(&self) -> usize {
        self.topic.as_str().len().saturating_add(self.payload.len())
    }
}

#[derive(Debug, Default)]
struct Queue {
    by_topic: HashMap<EventTopic, Event>,
    order: BTreeMap<u64, EventTopic>,
    next: u64,
    bytes: usize,
}

impl Queue {
    fn insert(&mut self, event: Event) {
        self.bytes = self.bytes.saturating_add(event.cost());
        self.order.insert(event.order, event.topic.clone());
        self.by_topic.insert(event.topic.clone(), event);
    }

    fn remove(&mut self, topic: &EventTopic) -> Option<Event> {
        let event = self.by_topic.remove(topic)?;
        self.order.remove(&event.order);
        self.bytes = self.bytes.saturating_sub(event.cost());
        Some(event)
    }
}

/// Shared by every handle and the task.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Wakes the task after [`Outbox::offer`].
    pub(crate) offered: Notify,
}

impl Outbox {
    /// Queues a state. An older one of the same topic that was not sent yet is superseded, at its place in the order.
    pub(crate) fn offer(
        &self,
        topic: EventTopic,
        payload: Vec<u8>,
        retained: bool,
    ) -> Result<oneshot::Receiver<Delivery>, EventError> {
        if payload.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge {
                topic,
                size: payload.len(),
                limit: EVENT_BYTES_MAX,
            });
        }
        let (confirm, confirmed) = oneshot::channel();
        let mut queue = self.lock();
        let replaced = queue.remove(&topic);
        let order = replaced.as_ref().map_or(queue.next, |event| event.order);
        let event = Event {
            topic,
            payload,
            retained,
            confirm,
            order,
        };
        let full = queue.by_topic.len() >= TOPICS_MAX
            || queue.bytes.saturating_add(event.cost()) > OUTBOX_BYTES_MAX;
        if full {
            let waiting = queue.by_topic.len();
            if let Some(older) = replaced {
                queue.insert(older);
            }
            return Err(EventError::QueueFull {
                topic: event.topic,
                waiting,
            });
        }
        queue.next = queue.next.saturating_add(1);
        queue.insert(event);
        drop(queue);
        if let Some(older) = replaced {
            older.resolve(Delivery::Superseded);
        }
        self.offered.notify_one();
        Ok(confirmed)
    }

    /// The event that has waited longest.
    pub(crate) fn take(&self) -> Option<Event> {
        let mut queue = self.lock();
        let topic = queue
            .order
            .first_key_value()
            .map(|(_, topic)| topic.clone())?;
        queue.remove(&topic)
    }

    /// Puts back what was sent and not confirmed; a newer state of its topic stays instead.
    pub(crate) fn give_back(&self, event: Event) {
        let mut queue = self.lock();
        if queue.by_topic.contains_key(&event.topic) {
            drop(queue);
            event.resolve(Delivery::Superseded);
        } else {
            queue.insert(event);
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_topic.is_empty()
    }

    /// Every critical section leaves the queue whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> EventTopic {
        format!("events/{name}").parse().unwrap()
    }

    #[test]
    fn the_newest_state_of_a_topic_wins_and_keeps_its_place() {
        let outbox = Outbox::default();
        let mut first = outbox.offer(topic("a"), b"1".to_vec(), true).unwrap();
        let _b = outbox.offer(topic("b"), b"2".to_vec(), true).unwrap();
        let _a = outbox.offer(topic("a"), b"3".to_vec(), true).unwrap();
        assert_eq!(first.try_recv().unwrap(), Delivery::Superseded);
        assert_eq!(outbox.take().unwrap().payload, b"3");
        assert_eq!(outbox.take().unwrap().payload, b"2");
        assert!(outbox.take().is_none());
    }

    #[test]
    fn an_unconfirmed_event_yields_to_a_newer_one_only() {
        let outbox = Outbox::default();
        let mut old = outbox.offer(topic("a"), b"1".to_vec(), true).unwrap();
        let sent = outbox.take().unwrap();
        outbox.give_back(sent);
        let sent = outbox.take().unwrap();
        assert_eq!(sent.payload, b"1");
        let _new = outbox.offer(topic("a"), b"2".to_vec(), true).unwrap();
        outbox.give_back(sent);
        assert_eq!(old.try_recv().unwrap(), Delivery::Superseded);
        assert_eq!(outbox.take().unwrap().payload, b"2");
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_flood_is_refused_at_the_bounds_and_known_topics_still_update() {
        let outbox = Outbox::default();
        let mut kept = Vec::new();
        for n in 0..TOPICS_MAX {
            kept.push(
                outbox
                    .offer(topic(&format!("t{n}")), b"x".to_vec(), true)
                    .unwrap(),
            );
        }
        for n in 0..10_000 {
            let refused = outbox.offer(topic(&format!("more{n}")), b"x".to_vec(), true);
            assert!(matches!(refused, Err(EventError::QueueFull { .. })));
        }
        assert!(outbox.offer(topic("t0"), b"new".to_vec(), true).is_ok());
        assert_eq!(outbox.lock().by_topic.len(), TOPICS_MAX);
        assert_eq!(outbox.lock().order.len(), TOPICS_MAX);
    }

    #[test]
    fn the_bytes_that_wait_are_bounded_too() {
        let outbox = Outbox::default();
        let big = vec![b'x'; EVENT_BYTES_MAX];
        let mut taken = 0;
        let mut kept = Vec::new();
        for n in 0..TOPICS_MAX {
            if let Ok(confirmed) = outbox.offer(topic(&format!("t{n}")), big.clone(), true) {
                kept.push(confirmed);
                taken += 1;
            }
        }
        assert!(taken < 64, "{taken} events of 16 KiB fit one MiB");
        assert!(outbox.lock().bytes <= OUTBOX_BYTES_MAX);
        let too_large = outbox.offer(topic("t0"), vec![b'x'; EVENT_BYTES_MAX + 1], true);
        assert!(matches!(too_large, Err(EventError::TooLarge { .. })));
        while outbox.take().is_some() {}
        assert_eq!(outbox.lock().bytes, 0);
    }
}
