//! Ending an application with its knowledge (MEC 011, 5.2.3): it is told, and has until a deadline to say that it is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edged_model::InstanceId;
use mec_api::app_support::{
    AppTerminationNotification, AppTerminationNotificationType, BASE, OperationAction,
    TerminationLinks,
};
use mec_api::common::LinkType;
use tokio::sync::Notify;

use crate::{Mec, Platform};

/// Applications that were told to end and have not said that they are done.
#[derive(Debug, Default)]
pub struct Terminations(Mutex<HashMap<InstanceId, Pending>>);

#[derive(Debug)]
struct Pending {
    action: OperationAction,
    done: Arc<Notify>,
}

/// What a confirmation meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// Nobody waits for it.
    NothingPending,
    /// It was waited for; the end goes on.
    Taken,
    /// Something else is under way.
    Other(OperationAction),
}

impl Terminations {
    /// An application says that it is done.
    pub fn confirm(&self, instance: &InstanceId, action: OperationAction) -> Confirmed {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pending.get(instance) {
            None => Confirmed::NothingPending,
            Some(pending) if pending.action != action => Confirmed::Other(pending.action),
            Some(pending) => {
                pending.done.notify_one();
                Confirmed::Taken
            }
        }
    }

    fn begin(&self, instance: &InstanceId, action: OperationAction) -> Arc<Notify> {
        let done = Arc::new(Notify::new());
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Pending {
            action,
            done: Arc::clone(&done),
        };
        pending.insert(instance.clone(), new);
        done
    }

    fn end(&self, instance: &InstanceId) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.remove(instance);
    }
}

impl<P: Platform> Mec<P> {
    /// Tells an application's subscribers that it is about to end, and waits until it confirms, at most `timeout`.
    /// Whether it confirmed; one that subscribed to nothing is not waited for.
    pub async fn tell_ending(
        &self,
        instance: &InstanceId,
        action: OperationAction,
        timeout: Duration,
    ) -> bool {
        let subscriptions = self.subscriptions.of_owner(BASE, Some(instance));
        if subscriptions.is_empty() || timeout.is_zero() {
            return false;
        }
        let done = self.terminations.begin(instance, action);
        for subscription in subscriptions {
            let origin = subscription.href.split(BASE).next().unwrap_or_default();
            let notification = AppTerminationNotification {
                notification_type: AppTerminationNotificationType,
                operation_action: action,
                max_graceful_timeout: u32::try_from(timeout.as_secs().max(1)).unwrap_or(u32::MAX),
                links: TerminationLinks {
                    confirm_termination: Some(LinkType {
                        href: format!("{origin}{BASE}/applications/{instance}/confirm_termination"),
                    }),
                    subscription: LinkType {
                        href: subscription.href.clone(),
                    },
                },
            };
            match serde_json::to_value(&notification) {
                Ok(body) => self.deliverer.deliver(&subscription.id, &body),
                Err(error) => tracing::error!(%error, "a notification cannot be written"),
            }
        }
        let confirmed = tokio::time::timeout(timeout, done.notified()).await.is_ok();
        self.terminations.end(instance);
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_action_that_is_pending_is_confirmed() {
        let terminations = Terminations::default();
        let id: InstanceId = "a".parse().unwrap();
        let (stop, end) = (OperationAction::Stopping, OperationAction::Terminating);
        assert_eq!(terminations.confirm(&id, end), Confirmed::NothingPending);
        let done = terminations.begin(&id, end);
        assert_eq!(terminations.confirm(&id, stop), Confirmed::Other(end));
        assert_eq!(terminations.confirm(&id, end), Confirmed::Taken);
        done.notified().await;
        terminations.end(&id);
        assert_eq!(terminations.confirm(&id, end), Confirmed::NothingPending);
    }
}
