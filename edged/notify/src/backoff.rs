//! How long to wait before the next attempt: exponential with full jitter, so that what failed together does not come
//! back together.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Never at once: what refused a moment ago needs a moment.
const FLOOR: Duration = Duration::from_millis(20);

/// The wait after so many failures in a row (0: none).
pub(crate) fn wait(failures: u32, first: Duration, ceiling: Duration) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let bound = 2_u32
        .checked_pow(doublings)
        .and_then(|factor| first.checked_mul(factor))
        .map_or(ceiling, |wait| wait.min(ceiling));
    bound.mul_f64(fraction()).max(FLOOR.min(ceiling))
}

/// Uniform in 0..=1; a broken random source costs the jitter, not the notification.
fn fraction() -> f64 {
    let mut bytes = [0xff; 4];
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_stay_below_the_ceiling() {
        let (first, ceiling) = (Duration::from_millis(500), Duration::from_secs(60));
        assert_eq!(wait(0, first, ceiling), Duration::ZERO);
        let longest = |failures| (0..200).map(|_| wait(failures, first, ceiling)).max();
        assert!(longest(1) <= Some(first));
        assert!(longest(4) > longest(1));
        for failures in [20, 40, u32::MAX] {
            assert!(longest(failures) <= Some(ceiling));
        }
        let mut waits: Vec<_> = (0..50).map(|_| wait(8, first, ceiling)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 10, "no jitter: {waits:?}");
    }
}
