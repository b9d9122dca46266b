//! Announcements under `events/`: the topic, and the promise that one arrived.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::error::EventError;

/// Everything that edged announces is beneath this.
pub(crate) const EVENTS_FILTER: &str = "events/#";
const EVENTS_PREFIX: &str = "events/";
/// As long as a topic filter may be; a name built of ids is far below.
const EVENT_TOPIC_MAX: usize = 256;

/// A topic under `events/`, without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTopic(String);

impl EventTopic {
    /// The whole topic, `events/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventTopic {
    type Err = EventError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |c: char| c.is_control() || matches!(c, '+' | '#');
        let sane = text.len() <= EVENT_TOPIC_MAX
            && !text.contains(refused)
            && text
                .strip_prefix(EVENTS_PREFIX)
                .is_some_and(|rest| rest.split('/').all(|l| !l.is_empty()));
        if sane {
            Ok(Self(text.to_owned()))
        } else {
            Err(EventError::Topic(text.to_owned()))
        }
    }
}

impl fmt::Display for EventTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How an event ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The broker has it: its PUBACK came.
    Confirmed,
    /// A newer event on the same topic took its place before it was sent.
    Superseded,
}

/// Resolves when the broker has the event. Dropping it does not take the event back.
#[derive(Debug)]
#[must_use = "an event is delivered only when its confirmation says so; drop it explicitly if that does not matter"]
pub struct Confirmation(pub(crate) oneshot::Receiver<Delivery>);

impl Future for Confirmation {
    type Output = Result<Delivery, EventError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let delivery = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(delivery.map_err(|_| EventError::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_topic_stays_under_events() {
        let long = format!("events/{}", "a".repeat(300));
        for bad in [
            "",
            "events",
            "events/",
            "events//a",
            "events/a/",
            "sensors/a",
            "events/+",
            "events/#",
            "events/a\n",
            "$CONTROL/x",
            "/events/a",
            &long,
        ] {
            assert!(bad.parse::<EventTopic>().is_err(), "{bad:?} was taken");
        }
        assert!("events/instances/a-1".parse::<EventTopic>().is_ok());
    }
}
