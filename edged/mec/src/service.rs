//! A registered service, as it is kept.

use edged_model::InstanceId;
use mec_api::service_management::{ServiceInfo, ServiceState};

use crate::service_management::REST;

/// Where HTTP is without a word about its port (RFC 9110, 4.2).
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A service and who registered it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredService {
    /// `serInstanceId`.
    pub id: String,
    /// The registering instance.
    pub instance: InstanceId,
    /// Its description: defaults filled in, `transportId` where a transport of the node was chosen, and without what
    /// depends on who asks (`_links`, `isLocal`).
    pub info: ServiceInfo,
}

impl RegisteredService {
    /// `serName`.
    pub fn name(&self) -> &str {
        &self.info.ser_name
    }

    /// `state`.
    pub fn state(&self) -> ServiceState {
        self.info.state
    }

    /// Whether its application says that it can be used, and was heard of in time.
    pub fn is_active(&self) -> bool {
        self.state() == ServiceState::Active
    }

    /// The port for DNS-SD: that of the first address or URI of the endpoint, where `is_own` says that the host in it
    /// (a name, or an address without brackets) is the application's. A name in the zone leads to nobody else.
    pub fn port(&self, is_own: impl Fn(&str) -> bool) -> Option<u16> {
        if self.info.transport_id.as_deref() == Some(REST) {
            return Some(HTTP_PORT);
        }
        let endpoint = &self.info.transport_info.as_ref()?.endpoint;
        if let Some(address) = endpoint.addresses.iter().flatten().next() {
            return is_own(&address.host).then_some(address.port);
        }
        let uri = endpoint.uris.iter().flatten().next()?;
        let uri: axum::http::Uri = uri.parse().ok()?;
        let port = uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(HTTPS_PORT),
            Some("http") => Some(HTTP_PORT),
            _ => None,
        });
        let host = uri.host()?.trim_matches(['[', ']']);
        port.filter(|_| is_own(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn port(transport: &serde_json::Value) -> Option<u16> {
        let mut info =
            json!({"serName": "page", "version": "1", "state": "ACTIVE", "serializer": "JSON"});
        match transport.as_str() {
            Some(id) => info["transportId"] = json!(id),
            None => {
                info["transportInfo"] = json!({
                    "id": "t", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1",
                    "endpoint": transport, "security": {},
                });
            }
        }
        let service = RegisteredService {
            id: "s".to_owned(),
            instance: InstanceId::random(),
            info: serde_json::from_value(info).unwrap(),
        };
        service.port(|host| ["page.app.edge.mec.internal", "10.80.0.9", "fd00::9"].contains(&host))
    }

    #[test]
    fn the_port_is_that_of_the_first_address_of_its_application() {
        for (transport, expected) in [
            (
                json!({"uris": ["http://page.app.edge.mec.internal:8080/"]}),
                Some(8080),
            ),
            (
                json!({"uris": ["https://page.app.edge.mec.internal/v1"]}),
                Some(443),
            ),
            (
                json!({"addresses": [{"host": "10.80.0.9", "port": 7}]}),
                Some(7),
            ),
            (json!({"uris": ["http://[fd00::9]:81/"]}), Some(81)),
            (json!({"uris": ["http://192.0.2.1:8080/"]}), None),
            (
                json!({"addresses": [{"host": "192.0.2.1", "port": 7}]}),
                None,
            ),
            (json!({"fqdn": ["page.app.edge.mec.internal"]}), None),
            (json!("rest"), Some(80)),
            (json!("mqtt"), None),
        ] {
            assert_eq!(port(&transport), expected, "{transport}");
        }
    }
}
