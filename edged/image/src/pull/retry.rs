//! How long to wait, and how often to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Time-outs and retries of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte of an answer.
    pub stall: Duration,
    /// Attempts at one document or blob that make no progress.
    pub attempts: u32,
    /// Before the second attempt; doubled for each after that.
    pub first_delay: Duration,
    /// Between any two attempts.
    pub longest_delay: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            attempts: 5,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
        }
    }
}

/// The attempts at one thing.
pub(crate) struct Retry<'a> {
    patience: &'a Patience,
    attempt: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(patience: &'a Patience) -> Self {
        Self {
            patience,
            attempt: 1,
        }
    }

    /// The wait before the next attempt; none: give up. What the registry asks for is honoured up to the longest.
    pub(crate) fn next_delay(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempt >= self.patience.attempts {
            return None;
        }
        let doubled = 2u32.saturating_pow(self.attempt.saturating_sub(1));
        let ceiling = self
            .patience
            .first_delay
            .saturating_mul(doubled)
            .min(self.patience.longest_delay);
        self.attempt = self.attempt.saturating_add(1);
        let asked = asked.unwrap_or_default().min(self.patience.longest_delay);
        Some(jitter(ceiling).max(asked))
    }
}

/// Between nothing and all of it, so that boxes that lost the same registry do not come back at the same moment.
fn jitter(ceiling: Duration) -> Duration {
    // RandomState is keyed by the system's randomness; that is enough to spread retries.
    let random = RandomState::new().hash_one(()) % 1024;
    let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.saturating_mul(random) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_and_no_wait_is_longer_than_the_longest() {
        let patience = Patience {
            longest_delay: Duration::from_secs(1),
            ..Patience::default()
        };
        let mut retry = Retry::new(&patience);
        let mut waits = 0;
        while let Some(delay) = retry.next_delay(Some(Duration::from_secs(3600))) {
            assert!(delay <= patience.longest_delay, "{delay:?}");
            waits += 1;
        }
        assert_eq!(waits, 4);
    }
}
