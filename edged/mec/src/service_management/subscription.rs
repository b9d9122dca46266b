//! Subscriptions to services, as far as they are about services.

use std::sync::Arc;

use edged_model::InstanceId;
use edged_notify::Subscription;
use mec_api::Problem;
use mec_api::common::{LinkType, SelfLinks, WebsockNotifConfig};
use mec_api::service_management::{
    BASE, FilteringCriteria, SerAvailabilityNotificationSubscription,
};
use serde_json::Value;

use crate::{Asked, Caller, Mec, Platform, Uris};

/// The member of a kept subscription that says what it is about.
const CRITERIA: &str = "filteringCriteria";

/// Where an instance's subscriptions are.
pub(crate) fn collection(owner: &InstanceId) -> String {
    format!("{BASE}/applications/{owner}/subscriptions")
}

/// Makes a subscription.
///
/// # Errors
/// 400 for two ways of naming services, and those of [`Mec::subscribe`].
pub(crate) fn make<P: Platform>(
    mec: &Mec<P>,
    caller: &Caller,
    owner: &InstanceId,
    body: SerAvailabilityNotificationSubscription,
) -> Result<Arc<Subscription>, Problem> {
    if let Some(criteria) = &body.filtering_criteria {
        single_way(criteria)?;
    }
    let callback = body.callback_reference.clone();
    let expires = body.expiry_deadline.clone();
    let websocket = body.websock_notif_config.clone();
    let asked = Asked {
        api: BASE,
        collection: collection(owner),
        kind: body.subscription_type.as_str(),
        owner: Some(owner),
        callback: Some(&callback),
        expires: expires.as_ref(),
        test: body.request_test_notification == Some(true),
        websocket: websocket.as_ref(),
    };
    mec.subscribe(caller, &asked, |uris| shown(body, uris))
}

/// The subscription as it is answered and kept.
fn shown(body: SerAvailabilityNotificationSubscription, uris: &Uris) -> Value {
    let websocket = uris.websocket.clone();
    let whole = SerAvailabilityNotificationSubscription {
        request_test_notification: None,
        websock_notif_config: websocket.map(|uri| WebsockNotifConfig {
            request_websocket_uri: None,
            websocket_uri: Some(uri),
        }),
        links: Some(SelfLinks {
            itself: LinkType {
                href: uris.href.clone(),
            },
        }),
        ..body
    };
    serde_json::to_value(whole).unwrap_or_default()
}

/// A kept subscription as it is answered.
pub(crate) fn read(
    subscription: &Subscription,
) -> Result<SerAvailabilityNotificationSubscription, Problem> {
    serde_json::from_value(subscription.filter.clone()).map_err(|error| {
        tracing::error!(subscription = %subscription.id, %error, "a subscription cannot be read");
        Problem::unavailable("the subscription cannot be read; delete it and make it again")
    })
}

/// What a subscriber wants to hear of.
pub(crate) fn criteria(
    subscription: &Subscription,
) -> Result<FilteringCriteria, serde_json::Error> {
    match subscription.filter.get(CRITERIA) {
        Some(criteria) => serde_json::from_value(criteria.clone()),
        None => Ok(FilteringCriteria::default()),
    }
}

/// At most one of the lists that name services (MEC 011, 8.1.3.2).
fn single_way(criteria: &FilteringCriteria) -> Result<(), Problem> {
    let given = [
        criteria.ser_instance_ids.is_some(),
        criteria.ser_names.is_some(),
        criteria.ser_categories.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(Problem::bad_request(
            "filteringCriteria: give at most one of serInstanceIds, serNames and serCategories",
        ));
    }
    Ok(())
}
