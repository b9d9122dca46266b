//! What subscriptions of every interface have in common (MEC 009): checked, kept, linked, and their WebSocket.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use axum::routing::get;
use axum::{Extension, Router};
use edged_model::InstanceId;
use edged_notify::{AttachError, Callback, SubscribeError, Subscription, SubscriptionId};
use mec_api::Problem;
use mec_api::common::{
    LinkType, SubscriptionLink, SubscriptionLinkList, SubscriptionLinks, TimeStamp,
    WebsockNotifConfig,
};
use serde_json::Value;

use crate::{Caller, Mec, Platform};

/// Where the web sockets of subscriptions are, below the prefix.
const SOCKETS: &str = "/notifications";
/// Seconds after which a subscriber over its bound may try again: subscriptions end by hand or by their deadline.
const COME_BACK_S: u32 = 60;

/// What a subscriber asks for, whatever the interface.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Base path of the interface (`/mec_app_support/v1`): its key among subscriptions.
    pub api: &'static str,
    /// Path of the collection, base included.
    pub collection: String,
    /// `subscriptionType`.
    pub kind: &'a str,
    /// Whose resource it is; `None`: an orchestrator's.
    pub owner: Option<&'a InstanceId>,
    /// `callbackReference` or `callbackUri`; empty counts as none.
    pub callback: Option<&'a str>,
    /// `expiryDeadline`.
    pub expires: Option<&'a TimeStamp>,
    /// `requestTestNotification`.
    pub test: bool,
    /// `websockNotifConfig`.
    pub websocket: Option<&'a WebsockNotifConfig>,
}

/// Its own URIs: what `_links.self.href` and `websocketUri` become.
#[derive(Debug)]
pub struct Uris {
    /// The subscription.
    pub href: String,
    /// Its WebSocket, where one was asked for.
    pub websocket: Option<String>,
}

impl<P: Platform> Mec<P> {
    /// Makes a subscription. `shown` completes its representation, which is kept as the subscription's filter and is
    /// what a GET answers.
    ///
    /// # Errors
    /// 400 for a callback or a deadline that cannot be, 429 when there are enough of them.
    pub fn subscribe(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        shown: impl FnOnce(&Uris) -> Value,
    ) -> Result<Arc<Subscription>, Problem> {
        let callback = asked
            .callback
            .filter(|text| !text.is_empty())
            .map(str::parse::<Callback>)
            .transpose()
            .map_err(|error| Problem::bad_request(format!("callback: {error}")))?;
        let websocket = asked
            .websocket
            .is_some_and(|config| config.request_websocket_uri == Some(true));
        let id = SubscriptionId::random();
        let socket = caller.href(format_args!("{SOCKETS}/{id}"));
        let uris = Uris {
            href: caller.href(format_args!("{}/{id}", asked.collection)),
            // http becomes ws, https becomes wss.
            websocket: websocket.then(|| socket.replacen("http", "ws", 1)),
        };
        let subscription = Subscription {
            api: asked.api.to_owned(),
            kind: asked.kind.to_owned(),
            owner: asked.owner.cloned(),
            trusted: caller.instance().is_none(),
            callback,
            websocket,
            expires: asked.expires.map(|at| u64::from(at.seconds)),
            filter: shown(&uris),
            href: uris.href,
            created: self.subscriptions.now(),
            id,
        };
        let kept = self
            .subscriptions
            .add(subscription)
            .map_err(|error| refused(&error))?;
        if asked.test {
            self.deliverer.deliver_test(&kept);
        }
        Ok(kept)
    }

    /// A subscription of an interface and an owner.
    ///
    /// # Errors
    /// 404 where there is none; another owner's counts as none.
    pub fn subscription(
        &self,
        api: &str,
        owner: Option<&InstanceId>,
        id: &str,
    ) -> Result<Arc<Subscription>, Problem> {
        let parsed: Option<SubscriptionId> = id.parse().ok();
        parsed
            .and_then(|id| self.subscriptions.get(&id))
            .filter(|found| found.api == api && found.owner.as_ref() == owner)
            .ok_or_else(|| Problem::not_found(format!("there is no subscription {id:?}")))
    }

    /// Ends a subscription of an interface and an owner.
    ///
    /// # Errors
    /// 404 where there is none.
    pub fn unsubscribe(
        &self,
        api: &str,
        owner: Option<&InstanceId>,
        id: &str,
    ) -> Result<(), Problem> {
        let found = self.subscription(api, owner, id)?;
        self.subscriptions
            .remove(&found.id)
            .map(drop)
            .map_err(|error| {
                tracing::error!(%error, "a subscription was not removed");
                Problem::unavailable("the node's state cannot be written; try again later")
            })
    }

    /// The list of links to an owner's subscriptions at `collection`. Both names of the kind are sent: clients of
    /// version 2.1 read `rel`, later ones `subscriptionType`.
    pub fn subscription_links(
        &self,
        caller: &Caller,
        api: &str,
        collection: &str,
        owner: Option<&InstanceId>,
    ) -> SubscriptionLinkList {
        let subscriptions = self.subscriptions.of_owner(api, owner);
        let links: Vec<_> = subscriptions
            .iter()
            .map(|subscription| SubscriptionLink {
                href: subscription.href.clone(),
                subscription_type: subscription.kind.clone(),
                rel: Some(subscription.kind.clone()),
            })
            .collect();
        SubscriptionLinkList {
            links: SubscriptionLinks {
                itself: LinkType {
                    href: caller.href(collection),
                },
                subscriptions: (!links.is_empty()).then_some(links),
            },
        }
    }
}

fn refused(error: &SubscribeError) -> Problem {
    let text = error.to_string();
    match error {
        SubscribeError::OwnerFull(_) | SubscribeError::Full => {
            Problem::too_many_requests(text, COME_BACK_S)
        }
        SubscribeError::Exists(_) => Problem::conflict(text),
        SubscribeError::Store(_) => {
            tracing::error!(%text, "a subscription was not kept");
            Problem::unavailable("the node's state cannot be written; try again later")
        }
        _ => Problem::bad_request(text),
    }
}

/// The web sockets, below the layer that says who calls.
pub fn sockets<P: Platform>(mec: Arc<Mec<P>>) -> Router {
    Router::new()
        .route(&format!("{SOCKETS}/{{subscription}}"), get(attach::<P>))
        .with_state(mec)
}

/// Attaches a WebSocket (RFC 6455): notifications go there from now on.
async fn attach<P: Platform>(
    State(mec): State<Arc<Mec<P>>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response<Body>, Problem> {
    let unknown = || Problem::not_found(format!("there is no subscription {id:?}"));
    let id: SubscriptionId = id.parse().map_err(|_| unknown())?;
    let found = mec.subscriptions.get(&id).ok_or_else(unknown)?;
    let own = match (&found.owner, caller.instance()) {
        (_, None) => true,
        (owner, instance) => owner.as_ref() == instance,
    };
    if !own {
        return Err(unknown());
    }
    mec.deliverer
        .upgrade(&id, &mut request)
        .map(|answer| answer.map(|()| Body::empty()))
        .map_err(|error| {
            let text = error.to_string();
            match error {
                AttachError::Unknown(_) => unknown(),
                AttachError::NotAsked(_) => Problem::forbidden(text),
                AttachError::Handshake(_) => Problem::bad_request(text),
            }
        })
}
