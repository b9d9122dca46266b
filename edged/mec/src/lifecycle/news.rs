//! What happens to instances and runs, told to whoever subscribed.

use std::collections::BTreeMap;
use std::sync::Arc;

use edged_model::InstanceId;
use edged_notify::Subscription;
use mec_api::common::{LinkType, NotificationLinks};
use mec_api::lifecycle::{
    AppIdentifierCreationSubscriptionType, AppIdentifierDeletionSubscriptionType,
    AppInstNotification, AppInstanceIdentifierCreationNotification,
    AppInstanceIdentifierDeletionNotification, AppInstanceStateChangeSubscriptionType,
    AppLcmOpOccNotification, AppLcmOpOccNotificationLinks, AppLcmOpOccStateChangeSubscriptionType,
    BASE, InstanceNotificationLinks, Notification, SubscriptionInfo,
};

use super::instance::{Condition, Instance};
use super::operation::{Operation, now};
use super::{run, subscription};
use crate::{Mec, Platform};

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// An instance got its name.
    Created(&'a Instance),
    /// Its name was taken away.
    Deleted(&'a Instance),
    /// It is in another state.
    Condition(&'a Instance, Condition),
    /// A run came into another state.
    Operation(&'a Operation, &'a Instance),
}

impl<P: Platform> Mec<P> {
    /// Tells whoever wants to hear of it; never waits.
    pub(super) fn tell(&self, news: News<'_>) {
        // The same for every subscriber told of the same event (MEC 010-2, 6.2.2.15).
        let id = uuid::Uuid::new_v4().to_string();
        for subscription in self.subscriptions.of_api(BASE) {
            let Ok(info) = subscription::read(&subscription) else {
                continue;
            };
            let Some(notification) = notification(&id, news, &info, &subscription) else {
                continue;
            };
            match serde_json::to_value(&notification) {
                Ok(body) => self.deliverer.deliver(&subscription.id, &body),
                Err(error) => tracing::error!(%error, "a notification has no form in JSON"),
            }
        }
    }
}

/// The notification of an event for a subscriber who wants to hear of it.
fn notification(
    id: &str,
    news: News<'_>,
    info: &SubscriptionInfo,
    subscription: &Subscription,
) -> Option<Notification> {
    // Links lead where the subscriber came from.
    let origin = subscription.href.split(BASE).next().unwrap_or_default();
    let link = |collection: &str, id: &str| LinkType {
        href: format!("{origin}{BASE}/{collection}/{id}"),
    };
    let own = || LinkType {
        href: subscription.href.clone(),
    };
    let links = |instance: &Instance| InstanceNotificationLinks {
        subscription: own(),
        app_instance: link("app_instances", instance.id.as_str()),
    };
    let (id, subscription_id) = (id.to_owned(), subscription.id.to_string());
    match (news, info) {
        (News::Created(instance), SubscriptionInfo::AppInstIdCreation(info)) => {
            let filter = info.app_instance_subscription_filter.as_ref();
            subscription::is_meant(filter, instance).then(|| {
                Notification::AppInstanceIdentifierCreation(
                    AppInstanceIdentifierCreationNotification {
                        id,
                        notification_type: AppIdentifierCreationSubscriptionType,
                        subscription_id,
                        time_stamp: now(),
                        app_instance_id: instance.id.to_string(),
                        links: links(instance),
                    },
                )
            })
        }
        (News::Deleted(instance), SubscriptionInfo::AppInstIdDeletion(info)) => {
            let filter = info.app_instance_subscription_filter.as_ref();
            subscription::is_meant(filter, instance).then(|| {
                Notification::AppInstanceIdentifierDeletion(
                    AppInstanceIdentifierDeletionNotification {
                        id,
                        notification_type: AppIdentifierDeletionSubscriptionType,
                        subscription_id,
                        time_stamp: now(),
                        app_instance_id: instance.id.to_string(),
                        links: links(instance),
                    },
                )
            })
        }
        (News::Condition(instance, condition), SubscriptionInfo::AppInst(info)) => {
            subscription::wants_condition(info, instance, condition).then(|| {
                Notification::AppInst(AppInstNotification {
                    id,
                    notification_type: AppInstanceStateChangeSubscriptionType,
                    app_instance_state: condition.word(),
                    subscription_id,
                    time_stamp: now(),
                    app_instance_id: instance.id.to_string(),
                    app_pkg_id: instance.package.clone(),
                    appd_id: instance.descriptor.clone(),
                    app_inst_location: None,
                    links: NotificationLinks {
                        subscription: own(),
                    },
                })
            })
        }
        (News::Operation(run, instance), SubscriptionInfo::AppLcmOpOcc(info)) => {
            let filter = info.app_lcm_op_occ_subscription_filter.as_ref();
            subscription::wants_operation(filter, run, instance).then(|| {
                Notification::AppLcmOpOcc(AppLcmOpOccNotification {
                    id,
                    notification_type: AppLcmOpOccStateChangeSubscriptionType,
                    operation_type: run.task.kind(),
                    operation_state: run.state.word(),
                    subscription_id,
                    time_stamp: now(),
                    app_lcm_op_occ_id: run.id.to_string(),
                    app_instance_id: run.instance.to_string(),
                    links: AppLcmOpOccNotificationLinks {
                        app_instance: link("app_instances", run.instance.as_str()),
                        subscription: own(),
                        app_lcm_op_occ: link("app_lcm_op_occs", run.id.as_str()),
                    },
                })
            })
        }
        _ => None,
    }
}

/// Tells in which states instances are, whoever brought them there, as long as the node runs. The states at the start
/// are nobody's news.
pub async fn watch_instances<P: Platform>(mec: Arc<Mec<P>>) {
    run::parts(&mec.platform).await;
    let mut pictures = mec.platform.pictures();
    let mut changes = mec.lifecycle.changes();
    let mut known: BTreeMap<InstanceId, Condition> = BTreeMap::new();
    let mut is_start = true;
    loop {
        let picture = Arc::clone(&pictures.borrow_and_update());
        changes.borrow_and_update();
        let mut new = BTreeMap::new();
        for instance in mec.lifecycle.instances() {
            let open = mec.lifecycle.open(&instance.id);
            let hosted = picture.applications.get(&instance.id);
            let condition = Condition::of(hosted, open.as_deref());
            let old = known.get(&instance.id).copied();
            // One that was just created is told of by its creation.
            let told = old.unwrap_or(Condition::NotInstantiated);
            if told != condition && !is_start {
                mec.tell(News::Condition(&instance, condition));
            }
            new.insert(instance.id.clone(), condition);
        }
        (known, is_start) = (new, false);
        // Cancel-safe: what changed meanwhile is seen in the next turn.
        let more = tokio::select! {
            more = pictures.changed() => more,
            more = changes.changed() => more,
        };
        if more.is_err() {
            return;
        }
    }
}
