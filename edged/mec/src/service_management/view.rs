//! Services as somebody sees them.

use std::sync::Arc;

use edged_model::InstanceId;
use mec_api::common::LinkType;
use mec_api::service_management::{BASE, ServiceInfo, ServiceLinks};
use mec_api::{ETag, Prepared, Problem};

use super::filter::Filter;
use super::offer::{Offer, Viewer};
use super::{ServiceManagement, transports};
use crate::{Caller, Mec, Picture, Platform, RegisteredService};

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no service {id:?}"))
}

/// A service that is somebody's to change.
pub(super) fn changeable(offer: Offer) -> Result<Arc<RegisteredService>, Problem> {
    if offer.declared.is_some() {
        return Err(Problem::forbidden(
            "the service was declared when its application was deployed and goes with it; register one of that name to say more",
        ));
    }
    Ok(offer.service)
}

impl<P: Platform> ServiceManagement<P> {
    /// Over this node.
    pub fn new(mec: Arc<Mec<P>>) -> Self {
        Self(mec)
    }

    /// The instance of a path.
    pub(super) fn owner(&self, caller: &Caller, instance: &str) -> Result<InstanceId, Problem> {
        let picture = self.0.platform.picture();
        let application = caller.application(&picture, instance)?;
        Ok(application.id().clone())
    }

    /// The service with an id.
    pub(super) fn find(&self, picture: &Arc<Picture>, id: &str) -> Result<Offer, Problem> {
        let all = self.0.registry.catalogue.offers(picture);
        let found = all.iter().find(|offer| offer.service.id == id);
        found.cloned().ok_or_else(|| unknown(id))
    }

    /// The service of a path with an instance.
    pub(super) fn find_own(
        &self,
        caller: &Caller,
        picture: &Arc<Picture>,
        instance: &str,
        id: &str,
    ) -> Result<Offer, Problem> {
        let owner = caller.application(picture, instance)?.id();
        self.find(picture, id).and_then(|offer| {
            if offer.service.instance == *owner {
                Ok(offer)
            } else {
                Err(unknown(id))
            }
        })
    }

    /// The service of a path, where it is its application's to change.
    pub(super) fn find_to_change(
        &self,
        caller: &Caller,
        picture: &Arc<Picture>,
        instance: &str,
        id: &str,
    ) -> Result<Arc<RegisteredService>, Problem> {
        self.find_own(caller, picture, instance, id)
            .and_then(changeable)
    }

    /// A service as somebody sees it.
    pub(super) fn shown(&self, offer: &Offer, caller: &Caller, viewer: &Viewer) -> ServiceInfo {
        let service = &offer.service;
        let path = format!(
            "{BASE}/applications/{}/services/{}",
            service.instance, service.id
        );
        let href = caller.href(path);
        let liveness = service.info.liveness_interval.map(|_| LinkType {
            href: format!("{href}/liveness"),
        });
        ServiceInfo {
            transport_id: None,
            transport_info: transports::of(offer, &self.0.facts),
            is_local: Some(offer.is_local(viewer)),
            links: Some(ServiceLinks {
                itself: LinkType { href },
                liveness,
            }),
            ..service.info.clone()
        }
    }

    /// The services that a filter takes, of one instance or of all.
    pub(super) fn list(
        &self,
        caller: &Caller,
        picture: &Arc<Picture>,
        filter: &Filter,
        owner: Option<&InstanceId>,
    ) -> Result<Prepared<Vec<ServiceInfo>>, Problem> {
        let viewer = Viewer::of(caller, picture);
        let catalogue = &self.0.registry.catalogue;
        let show = |offer: &Offer| self.shown(offer, caller, &viewer);
        let (all, page) = catalogue.page(picture, caller.origin(), &viewer, show)?;
        if owner.is_none() && filter.is_open() {
            return Ok(Prepared::json(page.whole()));
        }
        let wanted = all.iter().map(|offer| {
            owner.is_none_or(|owner| offer.service.instance == *owner)
                && filter.takes(offer, &viewer)
        });
        Ok(Prepared::json(page.only(wanted)))
    }

    /// Makes a service what it is to be, and the answer of it.
    pub(super) async fn keep(
        &self,
        caller: &Caller,
        service: RegisteredService,
    ) -> Result<(ETag, ServiceInfo), Problem> {
        self.0.platform.put_service(service.clone()).await?;
        // Who writes lives.
        self.0.registry.beats.heard(&service);
        let picture = self.0.platform.picture();
        let offer = self.find(&picture, &service.id)?;
        let viewer = Viewer::of(caller, &picture);
        let body = self.shown(&offer, caller, &viewer);
        Ok((ETag::of(&service.info), body))
    }
}
