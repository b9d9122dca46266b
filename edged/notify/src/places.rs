//! Places: how much may be under way at once, in all and for one application, so that nobody takes all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use edged_model::InstanceId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Whoever holds the token of all counts as so many applications: orchestrators share one owner.
pub(crate) const ORCHESTRATORS: usize = 4;

/// A number of places.
#[derive(Debug)]
struct Share {
    free: Arc<Semaphore>,
    wanted: Notify,
}

impl Share {
    fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(places)),
            wanted: Notify::new(),
        })
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(permit);
        }
        self.wanted.notify_waiters();
        // Only a closed semaphore refuses, and none is ever closed.
        self.free.clone().acquire_owned().await.ok()
    }
}

/// The places of the box, each application with a share of its own.
#[derive(Debug)]
pub(crate) struct Places {
    total: Arc<Share>,
    each: usize,
    owners: Mutex<HashMap<Option<InstanceId>, Weak<Share>>>,
}

/// One place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    own: Arc<Share>,
    total: Arc<Share>,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Places {
    pub(crate) fn new(total: usize, each: usize) -> Self {
        Self {
            total: Share::new(total),
            each,
            owners: Mutex::default(),
        }
    }

    /// Waits for a place: first among the owner's, so that its own crowd waits in its own line.
    pub(crate) async fn take(&self, owner: Option<&InstanceId>) -> Place {
        let own = self.share(owner);
        let permits = [own.take().await, self.total.take().await];
        Place {
            own,
            total: self.total.clone(),
            _permits: permits,
        }
    }

    fn share(&self, owner: Option<&InstanceId>) -> Arc<Share> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let key = owner.cloned();
        if let Some(share) = owners.get(&key).and_then(Weak::upgrade) {
            return share;
        }
        owners.retain(|_, share| share.strong_count() > 0);
        let share = Share::new(if owner.is_some() {
            self.each
        } else {
            self.each * ORCHESTRATORS
        });
        owners.insert(key, Arc::downgrade(&share));
        share
    }
}

impl Place {
    /// Until somebody else has use for this place.
    pub(crate) async fn wanted(&self) {
        let (own, total) = (self.own.wanted.notified(), self.total.wanted.notified());
        let (mut own, mut total) = (std::pin::pin!(own), std::pin::pin!(total));
        own.as_mut().enable();
        total.as_mut().enable();
        if self.own.free.available_permits() == 0 || self.total.free.available_permits() == 0 {
            return;
        }
        tokio::select! {
            () = own => {}
            () = total => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_application_cannot_take_the_places_of_another() {
        let places = Places::new(3, 2);
        let (greedy, other) = (InstanceId::random(), InstanceId::random());
        let first = places.take(Some(&greedy)).await;
        let _second = places.take(Some(&greedy)).await;
        assert!(places.take(Some(&greedy)).now_or_never().is_none());
        let third = places.take(Some(&other)).now_or_never();
        assert!(third.is_some());
        assert!(places.take(None).now_or_never().is_none(), "three in all");
        assert!(first.wanted().now_or_never().is_some());
        drop(first);
        assert!(places.take(None).now_or_never().is_some());
        drop(third);
        assert_eq!(places.total.free.available_permits(), 2);
    }
}
