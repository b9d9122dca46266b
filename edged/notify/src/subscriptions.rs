//! All subscriptions: the one owner of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edged_model::InstanceId;
use edged_store::{Store, StoreError, StoredSubscription};
use tokio::sync::Notify;

use crate::places::ORCHESTRATORS;
use crate::{Clock, Deliverer, Subscription, SubscriptionId};

/// Subscriptions of the box: each may have a full queue in memory, and each event is compared with all of them.
const SUBSCRIPTIONS_MAX: usize = 512;
/// Of one application: some for each interface and kind.
const SUBSCRIPTIONS_OF_ONE: usize = 32;
/// The document of one with its filter: what a person would write, not what a program could.
const DOCUMENT_MAX: usize = 16 * 1024;

/// Why a subscription was not made. Nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The application has enough of them: 429.
    #[error("the owner has {0} subscriptions; delete one that is not needed")]
    OwnerFull(usize),
    /// The box has enough of them: 429.
    #[error("{SUBSCRIPTIONS_MAX} subscriptions exist; delete one that is not needed")]
    Full,
    /// Neither callback nor WebSocket: 400.
    #[error("a subscription needs a callback or websockNotifConfig.requestWebsocketUri; give one")]
    NoTarget,
    /// Its deadline is no longer to come: 400.
    #[error("expiryDeadline {0} has passed; give a later one or none")]
    Expired(u64),
    /// Its document is too large: 400.
    #[error("the subscription has {0} bytes; use at most {DOCUMENT_MAX}")]
    Large(usize),
    /// It cannot be written down.
    #[error("the subscription is no JSON: {0}; leave out its filter")]
    Document(#[from] serde_json::Error),
    /// The id is taken.
    #[error("the subscription {0} exists; use another id")]
    Exists(SubscriptionId),
    /// It was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All subscriptions: durable before an answer, with their order kept, and a lane of the deliverer for each.
pub struct Subscriptions {
    kept: Mutex<Kept>,
    pub(crate) deliverer: Deliverer,
    pub(crate) clock: Arc<dyn Clock>,
    /// A deadline came or went.
    pub(crate) changed: Notify,
}

pub(crate) struct Kept {
    store: Store,
    /// Oldest first; few enough to be walked.
    pub(crate) all: Vec<Arc<Subscription>>,
}

impl Subscriptions {
    /// Those that the store has, on a connection of their own.
    pub fn open(
        store: Store,
        deliverer: Deliverer,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        for stored in store.subscriptions()? {
            match serde_json::from_str::<Subscription>(&stored.document) {
                Ok(subscription) => {
                    deliverer.open(&subscription);
                    all.push(Arc::new(subscription));
                }
                // One damaged row does not silence the others.
                Err(error) => {
                    tracing::warn!(subscription = stored.id, %error, "a subscription cannot be read");
                }
            }
        }
        Ok(Self {
            kept: Mutex::new(Kept { store, all }),
            deliverer,
            clock,
            changed: Notify::new(),
        })
    }

    /// The time of the clock that deadlines are compared with, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Makes a subscription.
    pub fn add(&self, subscription: Subscription) -> Result<Arc<Subscription>, SubscribeError> {
        if subscription.callback.is_none() && !subscription.websocket {
            return Err(SubscribeError::NoTarget);
        }
        if let Some(deadline) = subscription.expires
            && deadline <= self.now()
        {
            return Err(SubscribeError::Expired(deadline));
        }
        let mut kept = self.kept();
        if kept.all.iter().any(|other| other.id == subscription.id) {
            return Err(SubscribeError::Exists(subscription.id));
        }
        if kept.all.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::Full);
        }
        let of_owner = |other: &&Arc<Subscription>| other.owner == subscription.owner;
        let has = kept.all.iter().filter(of_owner).count();
        let counts_as = subscription.owner.as_ref().map_or(ORCHESTRATORS, |_| 1);
        if has >= SUBSCRIPTIONS_OF_ONE * counts_as {
            return Err(SubscribeError::OwnerFull(has));
        }
        let id = subscription.id.as_str();
        let document = serde_json::to_string(&subscription)?;
        if document.len() > DOCUMENT_MAX {
            return Err(SubscribeError::Large(document.len()));
        }
        kept.store.put_subscription(&StoredSubscription {
            id: id.to_owned(),
            owner: subscription.owner.clone(),
            document,
        })?;
        let subscription = Arc::new(subscription);
        kept.all.push(subscription.clone());
        self.deliverer.open(&subscription);
        self.changed.notify_one();
        Ok(subscription)
    }

    /// One of them, whoever owns it.
    pub fn get(&self, id: &SubscriptionId) -> Option<Arc<Subscription>> {
        let kept = self.kept();
        kept.all.iter().find(|each| each.id == *id).cloned()
    }

    /// Those made at an interface, oldest first: for telling all who are concerned.
    pub fn of_api(&self, api: &str) -> Vec<Arc<Subscription>> {
        self.filtered(|each| each.api == api)
    }

    /// Those that one owner made at an interface, oldest first: for showing them.
    pub fn of_owner(&self, api: &str, owner: Option<&InstanceId>) -> Vec<Arc<Subscription>> {
        self.filtered(|each| each.api == api && each.owner.as_ref() == owner)
    }

    /// Ends one, and its WebSocket; whether there was one.
    pub fn remove(&self, id: &SubscriptionId) -> Result<bool, StoreError> {
        let mut kept = self.kept();
        let found = kept.forget(id)?;
        if found {
            self.deliverer.close(id);
        }
        Ok(found)
    }

    /// Ends all of an application that is gone.
    pub fn remove_owner(&self, owner: &InstanceId) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.store.remove_subscriptions_of(owner)?;
        kept.all.retain(|each| {
            let stays = each.owner.as_ref() != Some(owner);
            if !stays {
                self.deliverer.close(&each.id);
            }
            stays
        });
        Ok(())
    }

    /// Ends those of applications that are not known any more: at the start, for one that went while nobody looked.
    pub fn keep_owners(&self, known: impl Fn(&InstanceId) -> bool) -> Result<(), StoreError> {
        let owners = self.filtered(|each| each.owner.as_ref().is_some_and(|owner| !known(owner)));
        for owner in owners.iter().filter_map(|each| each.owner.as_ref()) {
            self.remove_owner(owner)?;
        }
        Ok(())
    }

    fn filtered(&self, want: impl Fn(&Subscription) -> bool) -> Vec<Arc<Subscription>> {
        let kept = self.kept();
        kept.all.iter().filter(|each| want(each)).cloned().collect()
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets one, on the disk first; whether there was one.
    pub(crate) fn forget(&mut self, id: &SubscriptionId) -> Result<bool, StoreError> {
        let found = self.store.remove_subscription(id.as_str())?;
        self.all.retain(|each| each.id != *id);
        Ok(found)
    }
}
