//! The registry as the operator of the node has it: everybody's services, and whichever goes.

use edged_model::InstanceId;
use mec_api::Problem;
use mec_api::service_management::ServiceInfo;

use super::offer::{Offer, Viewer};
use super::transports;
use super::view::{changeable, unknown};
use crate::{Mec, Platform};

/// A service and who offers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// Who offers it.
    pub owner: InstanceId,
    /// The whole description, its transport included; without links, because nobody came by HTTP.
    pub info: ServiceInfo,
}

impl<P: Platform> Mec<P> {
    /// Every service: registered ones, oldest first, then those that applications were deployed with.
    pub fn offered(&self) -> Vec<Offered> {
        let picture = self.platform.picture();
        let all = self.registry.catalogue.offers(&picture);
        all.iter().map(|offer| self.described(offer)).collect()
    }

    fn described(&self, offer: &Offer) -> Offered {
        let service = &offer.service;
        Offered {
            owner: service.instance.clone(),
            info: ServiceInfo {
                ser_instance_id: Some(service.id.clone()),
                transport_id: None,
                transport_info: transports::of(offer, &self.facts),
                is_local: Some(offer.is_local(&Viewer::Here)),
                ..service.info.clone()
            },
        }
    }

    /// Takes a service out of the registry, whoever registered it; durable when answered.
    ///
    /// # Errors
    /// 404 for an unknown id, 403 for a service that its application was deployed with, 503 when the state cannot be
    /// written.
    pub async fn withdraw_service(&self, id: &str) -> Result<(), Problem> {
        let _turn = self.registry.writing.lock().await;
        let all = self.registry.catalogue.offers(&self.platform.picture());
        let offer = all.iter().find(|offer| offer.service.id == id);
        let service = changeable(offer.ok_or_else(|| unknown(id))?.clone())?;
        self.platform.remove_service(service.id.clone()).await
    }
}
