//! How long to wait before the next attempt: exponential, with full jitter, so that a fleet does not come at once.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The ceiling of the first wait: a broker on the same box that starts or restarts is there soon after.
const FIRST: Duration = Duration::from_millis(100);
/// The ceiling of every later wait: an operator who starts the broker sees edged connect within it.
pub(crate) const CAP: Duration = Duration::from_secs(30);
/// Doublings after which the ceiling exceeds [`CAP`].
const DOUBLINGS_MAX: u32 = 9;

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next attempt: uniform between nothing and a ceiling that doubles each time.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1 << self.failures.min(DOUBLINGS_MAX))
            .min(CAP);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fraction())
    }

    /// After a connection that lasted.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Uniform in 0..=1; a broken random source costs the jitter, not the connection.
fn fraction() -> f64 {
    let mut bytes = [0xff_u8; 4];
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_exceeds_its_ceiling_and_reset_starts_over() {
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            for ceiling in [
                100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
            ] {
                assert!(backoff.next() <= Duration::from_millis(ceiling));
            }
            backoff.reset();
            assert!(backoff.next() <= FIRST);
        }
    }

    #[test]
    fn two_waits_are_not_the_same() {
        let waits: std::collections::BTreeSet<_> =
            (0..20).map(|_| Backoff { failures: 9 }.next()).collect();
        assert!(waits.len() > 10, "no jitter: {waits:?}");
    }
}
