//! Who is told what happens to packages.

use edged_notify::Subscription;
use mec_api::Problem;
use mec_api::common::{LinkType, NotificationLinks, SelfLinks, TimeStamp};
use mec_api::package_management::{
    AppPkgFilter, AppPkgNotification, AppPkgSubscription, AppPkgSubscriptionInfo,
    AppPkgSubscriptionLink, AppPkgSubscriptionLinkList, AppPkgSubscriptionLinks,
    AppPkgSubscriptionType, BASE, NotificationType,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::PackageManagement;
use super::record::StoredPackage;
use super::shown::{operational, usage};
use crate::{Asked, Caller, Platform};

/// Path of the collection.
pub(super) const SUBSCRIPTIONS: &str = "/app_pkgm/v1/subscriptions";
/// What of a subscription nobody is shown, but which decides what it is told.
const FILTER: &str = "appPkgFilter";

/// What a subscription has to be about to be told.
fn about(kind: NotificationType) -> AppPkgSubscriptionType {
    match kind {
        NotificationType::AppPackageOnBoarded => {
            AppPkgSubscriptionType::AppPackageOnBoardingSubscription
        }
        NotificationType::AppPackageEnabled | NotificationType::AppPackageDisabled => {
            AppPkgSubscriptionType::AppPackageChangeSubscription
        }
        NotificationType::AppPackageDeleted => {
            AppPkgSubscriptionType::AppPackageDeletionSubscription
        }
    }
}

impl<P: Platform> PackageManagement<P> {
    /// Tells subscribers what happened to an on-boarded package.
    pub(super) fn tell(&self, package: &StoredPackage, kind: NotificationType) {
        let mec = self.mec();
        let (Some(appd_id), Some(time_stamp)) = (package.appd_id(), now()) else {
            return;
        };
        let used = self.is_used(package);
        let id = uuid::Uuid::new_v4().to_string();
        for subscription in mec.subscriptions.of_api(BASE) {
            if subscription.kind != about(kind).as_str() || !wants(&subscription, package, used) {
                continue;
            }
            let notification = AppPkgNotification {
                id: id.clone(),
                notification_type: kind,
                subscription_id: subscription.id.to_string(),
                time_stamp: time_stamp.clone(),
                app_pkg_id: package.id.to_string(),
                appd_id: appd_id.to_owned(),
                operational_state: operational(package.enabled),
                links: NotificationLinks {
                    subscription: LinkType {
                        href: subscription.href.clone(),
                    },
                },
            };
            match serde_json::to_value(&notification) {
                Ok(notification) => mec.deliverer.deliver(&subscription.id, &notification),
                Err(error) => tracing::error!(%error, "a notification cannot be written"),
            }
        }
    }

    /// Subscribes an orchestrator.
    pub(super) fn subscribe(
        &self,
        caller: &Caller,
        body: &AppPkgSubscription,
    ) -> Result<AppPkgSubscriptionInfo, Problem> {
        let filter = json!(body.app_pkg_filter);
        let asked = Asked {
            api: BASE,
            collection: SUBSCRIPTIONS.to_owned(),
            kind: body.subscription_type.as_str(),
            owner: None,
            callback: Some(&body.callback_uri),
            expires: body.expiry_deadline.as_ref(),
            test: body.request_test_notification == Some(true),
            websocket: body.websock_notif_config.as_ref(),
        };
        let kept = self.mec().subscribe(caller, &asked, |uris| {
            let id = uris.href.rsplit('/').next().unwrap_or_default();
            let mut websocket = body.websock_notif_config.clone();
            if let (Some(config), Some(uri)) = (&mut websocket, &uris.websocket) {
                config.websocket_uri = Some(uri.clone());
            }
            let info = AppPkgSubscriptionInfo {
                id: id.to_owned(),
                subscription_type: body.subscription_type,
                callback_uri: body.callback_uri.clone(),
                expiry_deadline: body.expiry_deadline.clone(),
                websock_notif_config: websocket,
                links: SelfLinks {
                    itself: LinkType {
                        href: uris.href.clone(),
                    },
                },
            };
            let mut value = json!(info);
            if let Some(members) = value.as_object_mut() {
                members.insert(FILTER.to_owned(), filter);
            }
            value
        })?;
        subscription_info(&kept)
    }

    pub(super) fn links(&self, caller: &Caller) -> AppPkgSubscriptionLinkList {
        let subscriptions = self.mec().subscriptions.of_owner(BASE, None);
        let links: Vec<_> = subscriptions
            .iter()
            .filter_map(|subscription| {
                Some(AppPkgSubscriptionLink {
                    href: subscription.href.clone(),
                    subscription_type: subscription.kind.parse().ok()?,
                })
            })
            .collect();
        AppPkgSubscriptionLinkList {
            links: AppPkgSubscriptionLinks {
                itself: LinkType {
                    href: caller.href(SUBSCRIPTIONS),
                },
                subscriptions: (!links.is_empty()).then_some(links),
            },
        }
    }
}

/// A subscription as it is answered.
pub(super) fn subscription_info(
    subscription: &Subscription,
) -> Result<AppPkgSubscriptionInfo, Problem> {
    serde_json::from_value(subscription.filter.clone()).map_err(|error| {
        tracing::error!(%error, id = %subscription.id, "a subscription cannot be read");
        Problem::unavailable("the subscription cannot be read; delete it and subscribe again")
    })
}

fn wants(subscription: &Subscription, package: &StoredPackage, used: bool) -> bool {
    let filter = subscription.filter.get(FILTER).unwrap_or(&Value::Null);
    match serde_json::from_value::<Option<Vec<AppPkgFilter>>>(filter.clone()) {
        Ok(None) => true,
        Ok(Some(filters)) => {
            // An empty list picks nothing out, so it leaves nothing out either.
            filters.is_empty() || filters.iter().any(|filter| fits(filter, package, used))
        }
        Err(_) => false,
    }
}

/// Whether a package fits a filter: all members given must match.
fn fits(filter: &AppPkgFilter, package: &StoredPackage, used: bool) -> bool {
    let Some(content) = &package.content else {
        return false;
    };
    let read = &content.descriptor;
    let same = |asked: &Option<String>, own: &str| {
        let asked = asked.as_deref();
        asked.is_none_or(|asked| asked == own)
    };
    same(&filter.app_pkg_info_id, package.id.as_str())
        && same(&filter.appd_id, &read.app_d_id)
        && same(&filter.app_provider, &read.app_provider)
        && same(&filter.app_name, &read.app_name)
        && same(&filter.app_software_version, &read.app_soft_version)
        && same(&filter.appd_version, &read.app_d_version)
        && filter
            .operational_state
            .is_none_or(|asked| asked == operational(package.enabled))
        && filter.usage_state.is_none_or(|asked| asked == usage(used))
}

fn now() -> Option<TimeStamp> {
    let now = OffsetDateTime::now_utc();
    Some(TimeStamp {
        seconds: u32::try_from(now.unix_timestamp()).ok()?,
        nano_seconds: now.nanosecond(),
    })
}
