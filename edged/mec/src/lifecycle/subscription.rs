//! Subscriptions to instances and runs: made, shown, and compared with what happens.

use std::sync::Arc;

use edged_notify::Subscription;
use mec_api::Problem;
use mec_api::common::{LinkType, SelfLinks, TimeStamp, WebsockNotifConfig};
use mec_api::lifecycle::{
    AppInstIdCreationSubscriptionInfo, AppInstIdDeletionSubscriptionInfo, AppInstSubscriptionInfo,
    AppInstanceSubscriptionFilter, AppInstanceSubscriptionType, AppLcmOpOccSubscriptionFilter,
    AppLcmOpOccSubscriptionInfo, AppsFromProviders, BASE, SubscriptionInfo, SubscriptionRequest,
};
use serde_json::Value;

use super::instance::{Condition, Instance};
use super::operation::Operation;
use crate::subscribe::{Asked, Uris};
use crate::{Caller, Mec, Platform};

/// The collection's path.
pub fn collection() -> String {
    format!("{BASE}/subscriptions")
}

/// Makes a subscription.
///
/// # Errors
/// 400 for a filter that picks nothing, and those of [`Mec::subscribe`].
pub fn make<P: Platform>(
    mec: &Mec<P>,
    caller: &Caller,
    body: SubscriptionRequest,
) -> Result<Arc<Subscription>, Problem> {
    if let Some(filter) = picks(&body) {
        check(filter)?;
    }
    let (kind, callback, expires, test, websocket) = wishes(&body);
    let asked = Asked {
        api: BASE,
        collection: collection(),
        kind: kind.as_str(),
        owner: None,
        callback: Some(&callback),
        expires: expires.as_ref(),
        test,
        websocket: websocket.as_ref(),
    };
    mec.subscribe(caller, &asked, |uris| {
        serde_json::to_value(shown(body, uris)).unwrap_or_default()
    })
}

/// A kept subscription as it is answered.
///
/// # Errors
/// 503 for one that a later program wrote.
pub fn read(subscription: &Subscription) -> Result<SubscriptionInfo, Problem> {
    serde_json::from_value(subscription.filter.clone()).map_err(|error| {
        tracing::error!(subscription = %subscription.id, %error, "a subscription cannot be read");
        Problem::unavailable("the subscription cannot be read; delete it and make it again")
    })
}

type Wishes = (
    AppInstanceSubscriptionType,
    String,
    Option<TimeStamp>,
    bool,
    Option<WebsockNotifConfig>,
);

/// What is the same in each kind.
fn wishes(body: &SubscriptionRequest) -> Wishes {
    use AppInstanceSubscriptionType as Kind;
    macro_rules! of {
        ($kind:ident, $body:ident) => {
            (
                Kind::$kind,
                $body.callback_uri.clone(),
                $body.expiry_deadline.clone(),
                $body.request_test_notification == Some(true),
                $body.websock_notif_config.clone(),
            )
        };
    }
    match body {
        SubscriptionRequest::AppInst(it) => of!(AppInstanceStateChangeSubscription, it),
        SubscriptionRequest::AppLcmOpOcc(it) => of!(AppLcmOpOccStateChangeSubscription, it),
        SubscriptionRequest::AppInstIdCreation(it) => of!(AppIdentifierCreationSubscription, it),
        SubscriptionRequest::AppInstIdDeletion(it) => of!(AppIdentifierDeletionSubscription, it),
    }
}

fn shown(body: SubscriptionRequest, uris: &Uris) -> SubscriptionInfo {
    let id = uris.href.rsplit('/').next().unwrap_or_default().to_owned();
    let websock_notif_config = uris.websocket.clone().map(|uri| WebsockNotifConfig {
        request_websocket_uri: Some(true),
        websocket_uri: Some(uri),
    });
    let links = SelfLinks {
        itself: LinkType {
            href: uris.href.clone(),
        },
    };
    match body {
        SubscriptionRequest::AppInst(it) => SubscriptionInfo::AppInst(AppInstSubscriptionInfo {
            id,
            subscription_type: it.subscription_type,
            app_instance_state: it.app_instance_state,
            app_instance_subscription_filter: it.app_instance_subscription_filter,
            callback_uri: it.callback_uri,
            expiry_deadline: it.expiry_deadline,
            websock_notif_config,
            links,
        }),
        SubscriptionRequest::AppLcmOpOcc(it) => {
            SubscriptionInfo::AppLcmOpOcc(AppLcmOpOccSubscriptionInfo {
                id,
                subscription_type: it.subscription_type,
                callback_uri: it.callback_uri,
                app_lcm_op_occ_subscription_filter: it.app_lcm_op_occ_subscription_filter,
                expiry_deadline: it.expiry_deadline,
                websock_notif_config,
                links,
            })
        }
        SubscriptionRequest::AppInstIdCreation(it) => {
            SubscriptionInfo::AppInstIdCreation(AppInstIdCreationSubscriptionInfo {
                id,
                subscription_type: it.subscription_type,
                callback_uri: it.callback_uri,
                app_instance_subscription_filter: it.app_instance_subscription_filter,
                expiry_deadline: it.expiry_deadline,
                websock_notif_config,
                links,
            })
        }
        SubscriptionRequest::AppInstIdDeletion(it) => {
            SubscriptionInfo::AppInstIdDeletion(AppInstIdDeletionSubscriptionInfo {
                id,
                subscription_type: it.subscription_type,
                callback_uri: it.callback_uri,
                app_instance_subscription_filter: it.app_instance_subscription_filter,
                expiry_deadline: it.expiry_deadline,
                websock_notif_config,
                links,
            })
        }
    }
}

fn picks(body: &SubscriptionRequest) -> Option<&AppInstanceSubscriptionFilter> {
    match body {
        SubscriptionRequest::AppInst(it) => it.app_instance_subscription_filter.as_ref(),
        SubscriptionRequest::AppLcmOpOcc(it) => it
            .app_lcm_op_occ_subscription_filter
            .as_ref()?
            .app_instance_subscription_filter
            .as_ref(),
        SubscriptionRequest::AppInstIdCreation(it) => it.app_instance_subscription_filter.as_ref(),
        SubscriptionRequest::AppInstIdDeletion(it) => it.app_instance_subscription_filter.as_ref(),
    }
}

/// How instances are picked (`appInstSelectorType`).
enum Selector {
    All,
    Ids,
    Names,
    Descriptors,
    Providers,
}

impl Selector {
    fn of(filter: &AppInstanceSubscriptionFilter) -> Option<Self> {
        match filter.app_inst_selector_type {
            0 => Some(Self::All),
            1 => Some(Self::Ids),
            2 => Some(Self::Names),
            3 => Some(Self::Descriptors),
            4 => Some(Self::Providers),
            _ => None,
        }
    }
}

/// A filter says by what it picks, and has that.
fn check(filter: &AppInstanceSubscriptionFilter) -> Result<(), Problem> {
    let (has, member) = match Selector::of(filter) {
        Some(Selector::All) => return Ok(()),
        Some(Selector::Ids | Selector::Names | Selector::Descriptors) => {
            (filter.app_instances.is_some(), "appInstances")
        }
        Some(Selector::Providers) => (filter.apps_from_providers.is_some(), "appsFromProviders"),
        None => (false, "appInstSelectorType from 0 to 4"),
    };
    if has {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "appInstanceSubscriptionFilter: appInstSelectorType {} needs {member}",
        filter.app_inst_selector_type
    )))
}

/// Whether a filter picks an instance; none picks every one.
pub fn is_meant(filter: Option<&AppInstanceSubscriptionFilter>, instance: &Instance) -> bool {
    let Some(filter) = filter else {
        return true;
    };
    let listed = |name: Option<&str>| {
        let mut names = filter.app_instances.iter().flatten();
        name.is_some_and(|name| names.any(|listed| listed == name))
    };
    match Selector::of(filter) {
        Some(Selector::All) => true,
        Some(Selector::Ids) => listed(Some(instance.id.as_str())),
        Some(Selector::Names) => listed(instance.name.as_deref()),
        Some(Selector::Descriptors) => listed(Some(&instance.descriptor)),
        Some(Selector::Providers) => {
            let mut providers = filter.apps_from_providers.iter().flatten();
            providers.any(|provider| is_from(provider, instance))
        }
        None => false,
    }
}

fn is_from(provider: &AppsFromProviders, instance: &Instance) -> bool {
    if provider.app_provider != instance.provider {
        return false;
    }
    let Some(products) = &provider.app_products else {
        return true;
    };
    products.iter().any(|product| {
        let versions = product.versions.as_ref();
        product.app_name == instance.application
            && versions.is_none_or(|versions| {
                versions.iter().any(|version| {
                    let descriptors = version.appd_version.as_ref();
                    version.app_soft_version == instance.software
                        && descriptors.is_none_or(|them| them.contains(&instance.version))
                })
            })
    })
}

/// Whether a subscriber wants to hear that an instance came into a state.
pub fn wants_condition(
    info: &AppInstSubscriptionInfo,
    instance: &Instance,
    condition: Condition,
) -> bool {
    let state = info.app_instance_state;
    state.is_none_or(|state| state == condition.word())
        && is_meant(info.app_instance_subscription_filter.as_ref(), instance)
}

/// Whether a subscriber wants to hear of a run in this state.
pub fn wants_operation(
    filter: Option<&AppLcmOpOccSubscriptionFilter>,
    run: &Operation,
    instance: &Instance,
) -> bool {
    filter.is_none_or(|filter| {
        let kinds = filter.notification_types.as_deref();
        let (task, state) = (filter.operation_types, filter.operation_states);
        kinds.is_none_or(|kinds| kinds == NOTIFICATION)
            && task.is_none_or(|task| task == run.task.kind())
            && state.is_none_or(|state| state == run.state.word())
            && is_meant(filter.app_instance_subscription_filter.as_ref(), instance)
    })
}

/// The one word of `notificationTypes` (MEC 010-2, 6.2.2.12).
const NOTIFICATION: &str = "AppLcmOpOccNotification";

/// The kind of a kept subscription, where it is one of ours.
pub fn kind(subscription: &Subscription) -> Option<AppInstanceSubscriptionType> {
    serde_json::from_value(Value::String(subscription.kind.clone())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance() -> Instance {
        serde_json::from_value(json!({
            "id": "i-1", "host": "door-i", "name": "door", "package": "p", "descriptor": "camera-1",
            "provider": "Works", "application": "camera", "software": "1.4.0", "version": "2",
            "created": { "seconds": 1, "nanoSeconds": 0 } }))
        .unwrap()
    }

    fn meant(filter: Value) -> bool {
        let filter: AppInstanceSubscriptionFilter = serde_json::from_value(filter).unwrap();
        is_meant(Some(&filter), &instance())
    }

    #[test]
    fn instances_are_picked_by_id_name_descriptor_or_provider() {
        for (selector, name) in [(1, "i-1"), (2, "door"), (3, "camera-1")] {
            let by =
                |name: &str| json!({ "appInstSelectorType": selector, "appInstances": [name] });
            assert!(meant(by(name)), "{selector}");
            assert!(!meant(by("another")), "{selector}");
        }
        let by = |products: Value| {
            json!({ "appInstSelectorType": 4, "appsFromProviders":
            [{ "appProvider": "Works", "appProducts": products }] })
        };
        assert!(meant(by(Value::Null)));
        assert!(meant(by(json!([{ "appName": "camera", "versions":
            [{ "appSoftVersion": "1.4.0", "appDVersion": ["1", "2"] }] }]))));
        for other in [
            json!([{ "appName": "microphone" }]),
            json!([{ "appName": "camera", "versions": [{ "appSoftVersion": "1.5.0" }] }]),
            json!([{ "appName": "camera", "versions": [{ "appSoftVersion": "1.4.0", "appDVersion": ["1"] }] }]),
        ] {
            assert!(!meant(by(other.clone())), "{other}");
        }
    }

    #[test]
    fn a_filter_that_names_nothing_is_refused() {
        for selector in 1..=5 {
            let filter: AppInstanceSubscriptionFilter =
                serde_json::from_value(json!({ "appInstSelectorType": selector })).unwrap();
            assert!(check(&filter).is_err(), "{selector}");
        }
    }
}
