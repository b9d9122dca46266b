//! The deliverer: a lane for each subscription.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::{Outbound, Reach};
use crate::lane::Lane;
use crate::queue::NOTIFICATION_MAX;
use crate::tls::{Identity, Trust};
use crate::{AttachError, Counts, Limits, Subscription, SubscriptionId, websocket};

/// Why there is no deliverer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The additional authorities cannot be used.
    #[error(
        "the authorities for https callbacks cannot be used: {reason}; give certificates as PEM"
    )]
    Authority {
        /// What is wrong with them.
        reason: String,
    },
}

/// Carries notifications to subscribers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Deliverer(Arc<Shared>);

struct Shared {
    lanes: Mutex<HashMap<SubscriptionId, Arc<Lane>>>,
    outbound: Arc<Outbound>,
}

impl Deliverer {
    /// With what the node knows of names and policy, the PEM text of authorities beside the system's, and who the box is.
    pub fn new(
        reach: Arc<dyn Reach>,
        authorities: Option<&[u8]>,
        own: Option<Identity>,
        limits: Limits,
    ) -> Result<Self, NotifyError> {
        let trust = Trust::new(authorities, own)?;
        Ok(Self(Arc::new(Shared {
            lanes: Mutex::default(),
            outbound: Arc::new(Outbound::new(reach, limits, trust)),
        })))
    }

    /// Sends a notification to a subscriber. Never waits; an unknown subscription (it may have ended a moment ago) is
    /// passed over. Has to be called on the runtime.
    pub fn deliver(&self, id: &SubscriptionId, notification: &Value) {
        let Some(lane) = self.lane(id) else {
            tracing::debug!(subscription = %id, "nobody is subscribed any more");
            return;
        };
        if let Some(body) = self.encode(id, notification) {
            lane.push(body);
        }
    }

    /// Sends the notification that a subscriber asked for with `requestTestNotification` (MEC 009).
    pub fn deliver_test(&self, subscription: &Subscription) {
        self.deliver(&subscription.id, &subscription.test_notification());
    }

    /// Sends notifications over this stream from now on, on which the handshake is done. One attached before is closed.
    pub fn attach_websocket<S>(&self, id: &SubscriptionId, stream: S) -> Result<(), AttachError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.attachable(id)?.attach(Box::new(stream));
        Ok(())
    }

    /// Answers a handshake (RFC 6455) with 101 and attaches the WebSocket when hyper has handed the stream over. The
    /// server has to serve its connections with upgrades, and to have checked who asks.
    pub fn upgrade<B>(
        &self,
        id: &SubscriptionId,
        request: &mut Request<B>,
    ) -> Result<Response<()>, AttachError> {
        self.attachable(id)?;
        let answer = websocket::answer(request)?;
        let upgrade = hyper::upgrade::on(request);
        let (deliverer, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            if let Some(stream) = websocket::upgraded(upgrade).await
                && let Err(error) = deliverer.attach_websocket(&id, stream)
            {
                tracing::debug!(%error, "a WebSocket came too late");
            }
        });
        Ok(answer)
    }

    /// What became of the notifications so far.
    pub fn counts(&self) -> Counts {
        self.0.outbound.counters.read()
    }

    /// Begins with a subscription.
    pub(crate) fn open(&self, subscription: &Subscription) {
        let lane = Lane::new(subscription, self.0.outbound.clone());
        if let Some(old) = self.lanes().insert(subscription.id.clone(), lane) {
            old.close();
        }
    }

    /// Ends a subscription; what waits is lost.
    pub(crate) fn close(&self, id: &SubscriptionId) {
        if let Some(lane) = self.lanes().remove(id) {
            lane.close();
        }
    }

    /// Ends a subscription after its last notification.
    pub(crate) fn finish(&self, id: &SubscriptionId, last: &Value) {
        let lane = self.lanes().remove(id);
        if let (Some(lane), Some(body)) = (lane, self.encode(id, last)) {
            lane.finish(body);
        }
    }

    fn encode(&self, id: &SubscriptionId, notification: &Value) -> Option<Bytes> {
        let text = notification.to_string();
        if text.len() <= NOTIFICATION_MAX {
            return Some(text.into());
        }
        self.0.outbound.counters.refused();
        tracing::warn!(subscription = %id, bytes = text.len(), "a notification is too large and was given up");
        None
    }

    fn attachable(&self, id: &SubscriptionId) -> Result<Arc<Lane>, AttachError> {
        let lane = self
            .lane(id)
            .ok_or_else(|| AttachError::Unknown(id.clone()))?;
        if lane.websocket {
            Ok(lane)
        } else {
            Err(AttachError::NotAsked(id.clone()))
        }
    }

    fn lane(&self, id: &SubscriptionId) -> Option<Arc<Lane>> {
        self.lanes().get(id).cloned()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Arc<Lane>>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
