//! When a failed step is tried again: 500 ms doubling to 5 minutes, with full jitter.

use std::time::Duration;

use tokio::time::Instant;

use crate::random;

/// First pause: a registry or broker that restarts is back within it more often than not.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause: an operator who mended the cause waits no longer than this.
const LONGEST: Duration = Duration::from_secs(300);
/// What has gone well this long since the last try is well: the next failure starts from the beginning.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// The failures in a row of one instance.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    failures: u32,
    tried: Option<Instant>,
    pending: Option<(Instant, String)>,
}

impl Retry {
    /// Counts a failure and sets the time of the next try.
    pub fn failed(&mut self, reason: String) {
        let now = Instant::now();
        if self.tried.is_some_and(|tried| now >= tried + WELL_AFTER) {
            self.failures = 0;
        }
        let most = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        // Full jitter, yet never at once: the cause needs a moment to pass.
        let pause = Duration::from_millis(millis / 4 + random::below(millis * 3 / 4));
        self.failures = self.failures.saturating_add(1);
        self.tried = Some(now + pause);
        self.pending = Some((now + pause, reason));
    }

    /// Forgets everything: somebody asked anew, or what was missing is back.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The wait is over, and the count goes on.
    pub fn due(&mut self, now: Instant) {
        if self.pending.as_ref().is_some_and(|(at, _)| *at <= now) {
            self.pending = None;
        }
    }

    /// The time of the next try and the reason for the wait.
    pub fn pending(&self) -> Option<(Instant, &str)> {
        self.pending
            .as_ref()
            .map(|(at, reason)| (*at, reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_good_seconds_forgive_what_came_before() {
        let mut retry = Retry::default();
        for _ in 0..10 {
            retry.failed(String::new());
            let (at, _) = retry.pending().unwrap();
            tokio::time::advance(at - Instant::now() + WELL_AFTER / 2).await;
            retry.due(Instant::now());
        }
        assert!(retry.failures == 10, "five seconds forgive nothing");
        tokio::time::advance(WELL_AFTER / 2).await;
        retry.failed(String::new());
        assert!(retry.pending().unwrap().0 - Instant::now() <= FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_five_minutes_until_somebody_asks_anew() {
        let mut retry = Retry::default();
        for round in 0..30_u32 {
            retry.failed("why".to_owned());
            let (at, reason) = retry.pending().unwrap();
            let pause = at - Instant::now();
            let most = FIRST.saturating_mul(1 << round.min(16)).min(LONGEST);
            assert!(
                pause + Duration::from_millis(1) >= most / 4 && pause <= most,
                "{round}: {pause:?}"
            );
            assert_eq!(reason, "why");
            retry.due(at);
            assert!(retry.pending().is_none());
        }
        retry.reset();
        retry.failed(String::new());
        assert!(retry.pending().unwrap().0 - Instant::now() <= FIRST);
    }
}
