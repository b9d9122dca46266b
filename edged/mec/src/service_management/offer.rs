//! What is offered on this node: services that applications registered, and those they were deployed with.

use std::sync::Arc;

use edged_model::ServiceSpec;
use edged_model::{AppInstance, AppName, ImageReference, InstanceId, InstanceState, Protocol};
use mec_api::common::SerializerType;
use mec_api::service_management::{LocalityType, ServiceInfo, ServiceState};

use super::transports::REST;
use crate::{Application, Caller, Picture, RegisteredService};

/// One service in the registry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offer {
    pub service: Arc<RegisteredService>,
    /// The port it was declared with when its application was deployed; then it is not the application's to change.
    pub declared: Option<u16>,
    /// The application's name in the zone; none for one that runs elsewhere.
    pub host: Option<AppName>,
}

/// From where a service is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Viewer {
    /// From this host: its applications, and whoever manages it.
    Here,
    /// From an application that runs elsewhere.
    Elsewhere(InstanceId),
}

impl Viewer {
    pub fn of(caller: &Caller, picture: &Picture) -> Self {
        Self::owner(caller.instance(), picture)
    }

    /// As an instance looks at it; none: whoever manages the node.
    pub fn owner(instance: Option<&InstanceId>, picture: &Picture) -> Self {
        let known = instance.and_then(|id| picture.applications.get(id));
        match known {
            Some(Application::Registered(it)) => Self::Elsewhere(it.id.clone()),
            _ => Self::Here,
        }
    }
}

impl Offer {
    pub fn info(&self) -> &ServiceInfo {
        &self.service.info
    }

    /// `isLocal`. The node is one host, so all of its applications share every locality, and
    /// `MEC_SYSTEM` is everybody's.
    pub fn is_local(&self, viewer: &Viewer) -> bool {
        let everywhere = self.info().scope_of_locality == Some(LocalityType::MecSystem);
        everywhere
            || match viewer {
                Viewer::Here => self.host.is_some(),
                Viewer::Elsewhere(id) => self.service.instance == *id,
            }
    }
}

/// Everything that is offered: registered services, oldest first, then declared ones by their application.
///
/// A declared service is there while its application is ready, unless the application registered one of that name,
/// which says more. MEC 011 takes REST with JSON where nothing is said of a transport; so a declared service over TCP
/// is shown as that, and one over UDP is left to DNS-SD.
pub(crate) fn offers(picture: &Picture) -> Vec<Offer> {
    let registered = picture.services.iter().map(|service| Offer {
        service: Arc::clone(service),
        declared: None,
        host: host(picture.applications.get(&service.instance)),
    });
    let mut all: Vec<Offer> = registered.collect();
    for application in picture.applications.values() {
        if let Application::Hosted {
            instance,
            state: InstanceState::Ready,
            ..
        } = application
        {
            let tcp = instance.spec.services.iter();
            for service in tcp.filter(|service| service.protocol == Protocol::Tcp) {
                let same = |known: &Offer| {
                    known.service.instance == instance.id
                        && known
                            .service
                            .name()
                            .eq_ignore_ascii_case(service.name.as_str())
                };
                if !all.iter().any(same) {
                    all.push(declared(instance, service));
                }
            }
        }
    }
    all
}

fn host(application: Option<&Application>) -> Option<AppName> {
    match application? {
        Application::Hosted { instance, .. } => Some(instance.spec.name.clone()),
        Application::Registered(_) => None,
    }
}

fn declared(instance: &AppInstance, service: &ServiceSpec) -> Offer {
    // The same id each time the application is ready: consumers may keep it.
    let id = format!("{}.{}", instance.id, service.name);
    Offer {
        declared: Some(service.port),
        host: Some(instance.spec.name.clone()),
        service: Arc::new(RegisteredService {
            id: id.clone(),
            instance: instance.id.clone(),
            info: ServiceInfo {
                ser_instance_id: Some(id),
                ser_name: service.name.as_str().to_owned(),
                ser_category: None,
                version: version(&instance.spec.image),
                state: ServiceState::Active,
                transport_id: Some(REST.to_owned()),
                transport_info: None,
                serializer: SerializerType::Json,
                scope_of_locality: Some(LocalityType::MecHost),
                consumed_local_only: Some(true),
                is_local: None,
                liveness_interval: None,
                links: None,
            },
        }),
    }
}

/// A declared service has the version of its image.
fn version(image: &ImageReference) -> String {
    match (image.tag(), image.digest()) {
        (Some(tag), _) => tag.as_str().to_owned(),
        (None, Some(digest)) => digest.to_string(),
        (None, None) => String::new(),
    }
}
