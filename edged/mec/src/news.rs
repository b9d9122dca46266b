//! What changed on the node, told to whoever subscribed: one task that compares each picture with the one before.

use std::sync::Arc;

use crate::{Mec, Picture, Platform, service_management};

/// Tells subscribers what changes, and ends the subscriptions of applications that go, as long as the platform is
/// there. The picture at the start is nobody's news.
pub async fn tell_news<P: Platform>(mec: Arc<Mec<P>>) {
    let mut pictures = mec.platform.pictures();
    let mut old = Arc::clone(&pictures.borrow_and_update());
    let known = |id: &_| old.applications.contains_key(id);
    if let Err(error) = mec.subscriptions.keep_owners(known) {
        tracing::error!(%error, "subscriptions of applications that are gone stay");
    }
    while pictures.changed().await.is_ok() {
        let new = Arc::clone(&pictures.borrow_and_update());
        service_management::tell(&mec, &old, &new);
        end_subscriptions(&mec, &old, &new);
        old = new;
    }
}

fn end_subscriptions<P: Platform>(mec: &Mec<P>, old: &Picture, new: &Picture) {
    let mut gone = old.applications.keys();
    for owner in gone
        .by_ref()
        .filter(|id| !new.applications.contains_key(id))
    {
        if let Err(error) = mec.subscriptions.remove_owner(owner) {
            tracing::error!(%error, %owner, "subscriptions of an application that is gone stay");
        }
    }
}
