//! `service`: the registry, as the operator has it.

use edged_console::{ErrorKind, PlatformError, ServiceView};
use edged_mec::Offered;
use serde_json::Value;

use super::{Door, error};

/// What to do when a service is not found.
const LISTED: &str = "`service ls` lists the services of this box";

impl Door {
    pub(super) fn service_views(&self) -> Vec<ServiceView> {
        let offered = self.mec.offered();
        offered.iter().map(|one| self.service_view(one)).collect()
    }

    fn service_view(&self, Offered { owner, info }: &Offered) -> ServiceView {
        let transport = info.transport_info.as_ref();
        let mut endpoints = Vec::new();
        if let Some(endpoint) = transport.map(|transport| &transport.endpoint) {
            endpoints.extend(endpoint.uris.iter().flatten().cloned());
            endpoints.extend(endpoint.fqdn.iter().flatten().cloned());
            let addresses = endpoint.addresses.iter().flatten();
            endpoints.extend(addresses.map(|at| {
                if at.host.contains(':') {
                    format!("[{}]:{}", at.host, at.port)
                } else {
                    format!("{}:{}", at.host, at.port)
                }
            }));
        }
        ServiceView {
            name: info.ser_name.clone(),
            id: info.ser_instance_id.clone().unwrap_or_default(),
            owner: self.called(owner),
            app_instance_id: owner.clone(),
            state: info.state.as_str().to_owned(),
            version: info.version.clone(),
            transport: transport.map(|transport| transport.r#type.as_str().to_owned()),
            endpoints,
        }
    }

    /// A service by its id, or by its name where only one has it.
    pub(super) fn service_detail(&self, service: &str) -> Result<Value, PlatformError> {
        let offered = self.mec.offered();
        let id = |one: &&Offered| one.info.ser_instance_id.as_deref() == Some(service);
        let mut named = offered.iter().filter(|one| one.info.ser_name == service);
        let found = match (offered.iter().find(id), named.next(), named.next()) {
            (Some(one), _, _) | (None, Some(one), None) => one,
            (None, Some(_), Some(_)) => {
                let message = format!("several services are called {service:?}");
                return Err(PlatformError::new(ErrorKind::Conflict, message)
                    .with_hint("name one by its id; `service ls` shows the ids"));
            }
            (None, None, _) => {
                let message = format!("there is no service {service:?}");
                return Err(PlatformError::new(ErrorKind::NotFound, message).with_hint(LISTED));
            }
        };
        error::json(&found.info)
    }

    pub(super) async fn withdraw(&self, id: &str) -> Result<(), PlatformError> {
        let withdrawn = self.mec.withdraw_service(id).await;
        withdrawn.map_err(|problem| {
            let failed = error::problem(&problem);
            match failed.kind {
                ErrorKind::NotFound => failed.with_hint(LISTED),
                _ => failed,
            }
        })
    }
}
