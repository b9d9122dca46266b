//! The end of subscriptions at their deadlines.

use std::time::Duration;

use edged_store::StoreError;

use crate::Subscriptions;

/// The longest sleep while there are deadlines: the wall clock may be set, and no timer of ours hears of it.
const SLEEP_MAX: Duration = Duration::from_secs(30);

impl Subscriptions {
    /// Ends the subscriptions whose deadline has come, each with an `ExpiryNotification` (MEC 009); how many.
    pub fn expire(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let mut kept = self.kept();
        let due: Vec<_> = kept
            .all
            .iter()
            .filter_map(|each| Some((each.clone(), each.expires.filter(|at| *at <= now)?)))
            .collect();
        for (subscription, deadline) in &due {
            kept.forget(&subscription.id)?;
            let last = subscription.expiry_notification(*deadline);
            self.deliverer.finish(&subscription.id, &last);
        }
        Ok(due.len())
    }

    /// Calls [`Self::expire`] at each deadline, for ever.
    pub async fn run_expiry(&self) {
        loop {
            let changed = self.changed.notified();
            if let Err(error) = self.expire() {
                tracing::warn!(%error, "subscriptions whose time is up could not be ended; trying again");
            }
            match self.next_deadline() {
                None => changed.await,
                Some(deadline) => {
                    let left = Duration::from_secs(deadline.saturating_sub(self.now()));
                    // At least a moment: what could not be ended is not tried in a circle.
                    let sleep = left.clamp(Duration::from_secs(1), SLEEP_MAX);
                    let _ = tokio::time::timeout(sleep, changed).await;
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        self.kept().all.iter().filter_map(|each| each.expires).min()
    }
}
