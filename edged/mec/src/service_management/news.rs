//! What changed between two pictures of the node, and who wants to hear of it.

use mec_api::common::{LinkType, NotificationLinks};
use mec_api::service_management::{
    BASE, ChangeType, FilteringCriteria, SerAvailabilityNotificationType,
    ServiceAvailabilityNotification, ServiceInfo, ServiceReference,
};

use super::offer::{Offer, Viewer, offers};
use super::subscription;
use crate::{Mec, Picture, Platform};

/// One service that is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceChange {
    pub kind: ChangeType,
    /// The service after the change, or as it was last.
    pub offer: Offer,
}

/// What became of services, in the order of the registry.
pub(crate) fn changes(old: &[Offer], new: &[Offer]) -> Vec<ServiceChange> {
    let find = |all: &'_ [Offer], id: &str| all.iter().position(|it| it.service.id == id);
    let mut changes = Vec::new();
    for offer in new {
        let before = find(old, &offer.service.id).and_then(|at| old.get(at));
        let kind = match before {
            None => ChangeType::Added,
            Some(before) if before.info() == offer.info() => continue,
            Some(before) if alike(before.info(), offer.info()) => ChangeType::StateChanged,
            Some(_) => ChangeType::AttributesChanged,
        };
        let offer = offer.clone();
        changes.push(ServiceChange { kind, offer });
    }
    let gone = old
        .iter()
        .filter(|offer| find(new, &offer.service.id).is_none());
    changes.extend(gone.cloned().map(|offer| ServiceChange {
        kind: ChangeType::Removed,
        offer,
    }));
    changes
}

/// Whether two descriptions differ in nothing but the state.
fn alike(a: &ServiceInfo, b: &ServiceInfo) -> bool {
    let a = ServiceInfo {
        state: b.state,
        ..a.clone()
    };
    a == *b
}

/// Whether a subscriber wants to hear of a change: everything that is given has to hold.
pub(crate) fn wanted(
    criteria: &FilteringCriteria,
    change: &ServiceChange,
    viewer: &Viewer,
) -> bool {
    let info = change.offer.info();
    one_of(
        criteria.ser_instance_ids.as_ref(),
        Some(&change.offer.service.id),
    ) && one_of(criteria.ser_names.as_ref(), Some(&info.ser_name))
        && one_of(criteria.ser_categories.as_ref(), info.ser_category.as_ref())
        && one_of(criteria.states.as_ref(), Some(&info.state))
        && criteria
            .is_local
            .is_none_or(|local| change.offer.is_local(viewer) == local)
}

/// Whether one of what is named is there; nobody names nothing.
fn one_of<T: PartialEq>(wanted: Option<&Vec<T>>, given: Option<&T>) -> bool {
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    wanted.is_none_or(|wanted| given.is_some_and(|given| wanted.contains(given)))
}

/// Tells every subscriber of services what changed from one picture to the next.
pub(crate) fn tell<P: Platform>(mec: &Mec<P>, old: &Picture, new: &Picture) {
    let changes = changes(&offers(old), &offers(new));
    if changes.is_empty() {
        return;
    }
    for subscription in mec.subscriptions.of_api(BASE) {
        let criteria = match subscription::criteria(&subscription) {
            Ok(criteria) => criteria,
            Err(error) => {
                tracing::warn!(subscription = %subscription.id, %error, "criteria cannot be read");
                continue;
            }
        };
        let viewer = Viewer::owner(subscription.owner.as_ref(), new);
        // Links lead where the subscriber came from.
        let origin = subscription.href.split(BASE).next().unwrap_or_default();
        let concerned = changes
            .iter()
            .filter(|change| wanted(&criteria, change, &viewer));
        let references: Vec<_> = concerned.map(|change| reference(change, origin)).collect();
        if references.is_empty() {
            continue;
        }
        let notification = ServiceAvailabilityNotification {
            notification_type: SerAvailabilityNotificationType,
            service_references: references,
            links: NotificationLinks {
                subscription: LinkType {
                    href: subscription.href.clone(),
                },
            },
        };
        match serde_json::to_value(&notification) {
            Ok(notification) => mec.deliverer.deliver(&subscription.id, &notification),
            Err(error) => tracing::error!(%error, "a notification has no form in JSON"),
        }
    }
}

fn reference(change: &ServiceChange, origin: &str) -> ServiceReference {
    let service = &change.offer.service;
    let link = LinkType {
        href: format!("{origin}{BASE}/services/{}", service.id),
    };
    ServiceReference {
        link: (change.kind != ChangeType::Removed).then_some(link),
        ser_name: service.name().to_owned(),
        ser_instance_id: service.id.clone(),
        state: service.state(),
        change_type: change.kind,
    }
}
