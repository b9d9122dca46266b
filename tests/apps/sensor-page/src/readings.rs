//! The latest value of every sensor.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Topics kept at most: a sensor network of a site has hundreds; the rest is counted and not kept.
const TOPICS_MAX: usize = 4096;

/// A sensor's last word.
struct Reading {
    value: String,
    /// Unix milliseconds of its arrival.
    time: u64,
}

#[derive(Default)]
struct State {
    latest: BTreeMap<String, Reading>,
    messages: u64,
    connected: bool,
}

/// What was heard, and since when.
pub struct Readings {
    started: Instant,
    state: Mutex<State>,
}

impl Readings {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message arrived.
    pub fn heard(&self, topic: &str, payload: &[u8]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let reading = Reading {
            value: String::from_utf8_lossy(payload).into_owned(),
            time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        };
        let mut state = self.state();
        state.messages += 1;
        if state.latest.len() < TOPICS_MAX || state.latest.contains_key(topic) {
            state.latest.insert(topic.to_owned(), reading);
        }
    }

    /// The bus is there, or is not.
    pub fn set_connected(&self, connected: bool) {
        self.state().connected = connected;
    }

    /// Everything, for `/api/readings`.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let latest: serde_json::Map<String, Value> = state
            .latest
            .iter()
            .map(|(topic, reading)| {
                let value = json!({"value": reading.value, "time": reading.time});
                (topic.clone(), value)
            })
            .collect();
        json!({
            "readings": latest,
            "messages": state.messages,
            "connected": state.connected,
            "uptimeMs": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "pid": std::process::id(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_of_a_topic_wins_and_every_message_counts() {
        let readings = Readings::new();
        readings.heard("sensors/a/t", b"1");
        readings.heard("sensors/a/t", b"2");
        let json = readings.to_json();
        assert_eq!(json["readings"]["sensors/a/t"]["value"], "2");
        assert_eq!(json["messages"], 2);
    }
}
