//! Service management (ETSI GS MEC 011): who offers what, over what, and who wants to hear of it.
//!
//! The node is one MEC host. `isLocal` is true for services of applications that run here, whoever here asks, and for
//! scope `MEC_SYSTEM`; `consumedLocalOnly` is what the service said (true where it said nothing), and hides nothing.
//!
//! Invariants: writes follow one another ([`Registry::writing`]), so that of two with one If-Match one fails; an entity
//! tag is that of the kept description, the same whichever way it is asked for.

mod catalogue;
mod filter;
mod intake;
mod liveness;
mod news;
mod offer;
mod operator;
mod subscription;
#[cfg(test)]
mod tests;
mod transports;
mod view;

use std::sync::Arc;

use mec_api::service_management::{
    self as api, BASE, CreateService, CreateServiceAnswer, CreateSubscription,
    CreateSubscriptionAnswer, DeleteService, DeleteServiceAnswer, DeleteSubscription,
    DeleteSubscriptionAnswer, ListInstanceServices, ListInstanceServicesAnswer, ListServices,
    ListServicesAnswer, ListSubscriptions, ListSubscriptionsAnswer, ListTransports,
    ListTransportsAnswer, ReadInstanceService, ReadInstanceServiceAnswer, ReadLiveness,
    ReadLivenessAnswer, ReadService, ReadServiceAnswer, ReadSubscription, ReadSubscriptionAnswer,
    ReplaceService, ReplaceServiceAnswer, SendHeartbeat, SendHeartbeatAnswer, ServiceState,
};
use mec_api::{ETag, Problem};
use tokio::sync::Mutex;

use crate::{Caller, Mec, Platform, RegisteredService};
use catalogue::Catalogue;
use filter::Filter;
pub(crate) use intake::kept;
pub use liveness::watch_heartbeats;
use liveness::{Beats, with_state};
pub(crate) use news::tell;
use offer::Viewer;
pub use operator::Offered;
pub(crate) use transports::REST;

/// Services of one application: more than any has, and a full list is still a few hundred KiB.
const SERVICES_OF_ONE: usize = 128;
/// Services of the box: each is in memory, in every picture and in every whole list.
const SERVICES_MAX: usize = 1024;

/// What the registry has beside the node's picture.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// One write after the other, each from reading to its being shown.
    writing: Mutex<()>,
    beats: Beats,
    catalogue: Catalogue,
}

/// The interface over the node.
#[derive(Debug)]
pub(crate) struct ServiceManagement<P>(Arc<Mec<P>>);

impl<P: Platform> api::ServiceManagement for ServiceManagement<P> {
    type Caller = Caller;

    async fn list_services(
        &self,
        caller: Caller,
        request: ListServices,
    ) -> Result<ListServicesAnswer, Problem> {
        let filter = Filter::try_from(request)?;
        let picture = self.0.platform.picture();
        let body = self.list(&caller, &picture, &filter, None)?;
        Ok(ListServicesAnswer::Ok { body })
    }

    async fn read_service(
        &self,
        caller: Caller,
        request: ReadService,
    ) -> Result<ReadServiceAnswer, Problem> {
        let picture = self.0.platform.picture();
        let offer = self.find(&picture, &request.service_id)?;
        Ok(ReadServiceAnswer::Ok {
            etag: ETag::of(offer.info()),
            body: self.shown(&offer, &caller, &Viewer::of(&caller, &picture)),
        })
    }

    async fn list_transports(
        &self,
        caller: Caller,
        _: ListTransports,
    ) -> Result<ListTransportsAnswer, Problem> {
        let body = transports::all(&self.0.facts, caller.origin());
        Ok(ListTransportsAnswer::Ok { body })
    }

    async fn list_instance_services(
        &self,
        caller: Caller,
        request: ListInstanceServices,
    ) -> Result<ListInstanceServicesAnswer, Problem> {
        let picture = self.0.platform.picture();
        let owner = caller.application(&picture, &request.app_instance_id)?.id();
        let filter = Filter::try_from(request)?;
        let body = self.list(&caller, &picture, &filter, Some(owner))?;
        Ok(ListInstanceServicesAnswer::Ok { body })
    }

    async fn create_service(
        &self,
        caller: Caller,
        request: CreateService,
    ) -> Result<CreateServiceAnswer, Problem> {
        let _turn = self.0.registry.writing.lock().await;
        let picture = self.0.platform.picture();
        let application = caller.application(&picture, &request.app_instance_id)?;
        let id = uuid::Uuid::new_v4().to_string();
        let info = intake::kept(&id, request.body, application)?;
        let owner = application.id();
        let mut all = picture.services.iter();
        let own = all.by_ref().filter(|it| it.instance == *owner).count();
        if own >= SERVICES_OF_ONE || picture.services.len() >= SERVICES_MAX {
            return Err(Problem::forbidden(format!(
                "the application has {own} services of {SERVICES_OF_ONE}, the node {} of {SERVICES_MAX}; withdraw some first",
                picture.services.len()
            )));
        }
        let instance = owner.clone();
        let service = RegisteredService { id, instance, info };
        let (etag, body) = self.keep(&caller, service).await?;
        let links = body.links.as_ref();
        Ok(CreateServiceAnswer::Created {
            location: links.map_or_else(String::new, |links| links.itself.href.clone()),
            etag,
            body,
        })
    }

    async fn read_instance_service(
        &self,
        caller: Caller,
        request: ReadInstanceService,
    ) -> Result<ReadInstanceServiceAnswer, Problem> {
        let picture = self.0.platform.picture();
        let (instance, id) = (&request.app_instance_id, &request.service_id);
        let offer = self.find_own(&caller, &picture, instance, id)?;
        Ok(ReadInstanceServiceAnswer::Ok {
            etag: ETag::of(offer.info()),
            body: self.shown(&offer, &caller, &Viewer::of(&caller, &picture)),
        })
    }

    async fn replace_service(
        &self,
        caller: Caller,
        request: ReplaceService,
    ) -> Result<ReplaceServiceAnswer, Problem> {
        let _turn = self.0.registry.writing.lock().await;
        let picture = self.0.platform.picture();
        let (instance, id) = (&request.app_instance_id, &request.service_id);
        let old = self.find_to_change(&caller, &picture, instance, id)?;
        if let Some(condition) = &request.if_match {
            condition.permits(&ETag::of(&old.info))?;
        }
        let application = caller.application(&picture, instance)?;
        let service = RegisteredService {
            id: old.id.clone(),
            instance: old.instance.clone(),
            info: intake::kept(&old.id, request.body, application)?,
        };
        let (etag, body) = self.keep(&caller, service).await?;
        Ok(ReplaceServiceAnswer::Ok { etag, body })
    }

    async fn delete_service(
        &self,
        caller: Caller,
        request: DeleteService,
    ) -> Result<DeleteServiceAnswer, Problem> {
        let _turn = self.0.registry.writing.lock().await;
        let picture = self.0.platform.picture();
        let (instance, id) = (&request.app_instance_id, &request.service_id);
        let old = self.find_to_change(&caller, &picture, instance, id)?;
        self.0.platform.remove_service(old.id.clone()).await?;
        Ok(DeleteServiceAnswer::NoContent)
    }

    async fn read_liveness(
        &self,
        caller: Caller,
        request: ReadLiveness,
    ) -> Result<ReadLivenessAnswer, Problem> {
        let picture = self.0.platform.picture();
        let (instance, id) = (&request.app_instance_id, &request.service_id);
        let offer = self.find_own(&caller, &picture, instance, id)?;
        let body = self.0.registry.beats.of(&offer.service);
        let body = body.ok_or_else(|| no_heartbeats(id))?;
        let etag = ETag::of(&body);
        Ok(ReadLivenessAnswer::Ok { etag, body })
    }

    async fn send_heartbeat(
        &self,
        caller: Caller,
        request: SendHeartbeat,
    ) -> Result<SendHeartbeatAnswer, Problem> {
        let _turn = self.0.registry.writing.lock().await;
        let beats = &self.0.registry.beats;
        let picture = self.0.platform.picture();
        let (instance, id) = (&request.app_instance_id, &request.service_id);
        let mut service = self.find_own(&caller, &picture, instance, id)?.service;
        let before = beats.of(&service).ok_or_else(|| no_heartbeats(id))?;
        if let Some(condition) = &request.if_match {
            condition.permits(&ETag::of(&before))?;
        }
        // INACTIVE is its application's word, and stays until that says otherwise.
        if service.state() == ServiceState::Suspended {
            let active = with_state(&service, ServiceState::Active);
            self.0.platform.put_service(active.clone()).await?;
            service = Arc::new(active);
        }
        beats.heard(&service);
        let body = beats.of(&service).ok_or_else(|| no_heartbeats(id))?;
        let etag = ETag::of(&body);
        Ok(SendHeartbeatAnswer::Ok { etag, body })
    }

    async fn list_subscriptions(
        &self,
        caller: Caller,
        request: ListSubscriptions,
    ) -> Result<ListSubscriptionsAnswer, Problem> {
        let owner = self.owner(&caller, &request.app_instance_id)?;
        let collection = subscription::collection(&owner);
        let body = self
            .0
            .subscription_links(&caller, BASE, &collection, Some(&owner));
        Ok(ListSubscriptionsAnswer::Ok { body })
    }

    async fn create_subscription(
        &self,
        caller: Caller,
        request: CreateSubscription,
    ) -> Result<CreateSubscriptionAnswer, Problem> {
        let owner = self.owner(&caller, &request.app_instance_id)?;
        let made = subscription::make(&self.0, &caller, &owner, request.body)?;
        Ok(CreateSubscriptionAnswer::Created {
            location: made.href.clone(),
            body: subscription::read(&made)?,
        })
    }

    async fn read_subscription(
        &self,
        caller: Caller,
        request: ReadSubscription,
    ) -> Result<ReadSubscriptionAnswer, Problem> {
        let owner = self.owner(&caller, &request.app_instance_id)?;
        let id = &request.subscription_id;
        let found = self.0.subscription(BASE, Some(&owner), id)?;
        let body = subscription::read(&found)?;
        Ok(ReadSubscriptionAnswer::Ok { body })
    }

    async fn delete_subscription(
        &self,
        caller: Caller,
        request: DeleteSubscription,
    ) -> Result<DeleteSubscriptionAnswer, Problem> {
        let owner = self.owner(&caller, &request.app_instance_id)?;
        let id = &request.subscription_id;
        self.0.unsubscribe(BASE, Some(&owner), id)?;
        Ok(DeleteSubscriptionAnswer::NoContent)
    }
}

fn no_heartbeats(id: &str) -> Problem {
    Problem::not_found(format!("the service {id:?} has no livenessInterval"))
}
