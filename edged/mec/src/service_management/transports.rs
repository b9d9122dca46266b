//! The transports that the node has for its applications.

use edged_model::InstanceId;
use mec_api::Problem;
use mec_api::common::{EndPointInfo, GrantType, OAuth2Info, SecurityInfo, TransportType};
use mec_api::service_management::TransportInfo;
use serde_json::{Map, json};

use super::offer::Offer;
use crate::{Application, Facts};

/// HTTP on the application network. As long as a node has it, it has this id.
pub(crate) const REST: &str = "rest";
/// The node's broker.
pub(crate) const MQTT: &str = "mqtt";

/// Whether a service of an application may name this transport.
///
/// # Errors
/// 400 for a transport that the node does not have, or not for this application.
pub(crate) fn permit(id: &str, application: &Application) -> Result<(), Problem> {
    match (id, application) {
        (MQTT, _) | (REST, Application::Hosted { .. }) => Ok(()),
        (REST, Application::Registered(_)) => Err(Problem::bad_request(
            "transportId: the application runs elsewhere and has no name here; give transportInfo",
        )),
        _ => Err(Problem::bad_request(format!(
            "transportId: there is no transport {id:?}; use one of {REST} and {MQTT}, or give transportInfo"
        ))),
    }
}

/// All of them, as whoever came by `origin` reaches them.
pub(crate) fn all(facts: &Facts, origin: &str) -> Vec<TransportInfo> {
    let own = SecurityInfo {
        oauth2_info: Some(OAuth2Info {
            grant_types: vec![GrantType::Oauth2ClientCredentials],
            token_endpoint: Some(format!("{origin}/token")),
        }),
    };
    let about = format!(
        "HTTP on the application network: the node at this endpoint, a service at http://NAME.app.{}/",
        facts.zone
    );
    vec![
        TransportInfo {
            description: Some(about),
            ..rest(format!("{origin}/"), own)
        },
        mqtt(facts, "apps/{appInstanceId}/#"),
    ]
}

/// The transport of a service that named one of the node's. Where a service has its own, that is it.
pub(crate) fn of(offer: &Offer, facts: &Facts) -> Option<TransportInfo> {
    let info = offer.info();
    match info.transport_id.as_deref() {
        Some(REST) => {
            let name = format!("{}.app.{}", offer.host.as_ref()?, facts.zone);
            let uri = match offer.declared {
                Some(port) => format!("http://{name}:{port}/"),
                None => format!("http://{name}/"),
            };
            // Between applications nobody but the application asks for a token.
            Some(rest(uri, SecurityInfo::default()))
        }
        Some(MQTT) => Some(mqtt(facts, &space(&offer.service.instance))),
        _ => info.transport_info.clone(),
    }
}

/// The topics that an application publishes to.
fn space(instance: &InstanceId) -> String {
    format!("apps/{instance}/#")
}

fn rest(uri: String, security: SecurityInfo) -> TransportInfo {
    TransportInfo {
        id: REST.to_owned(),
        name: "REST".to_owned(),
        description: None,
        r#type: TransportType::RestHttp,
        protocol: "HTTP".to_owned(),
        version: "1.1".to_owned(),
        endpoint: EndPointInfo {
            uris: Some(vec![uri]),
            ..EndPointInfo::default()
        },
        security,
        impl_specific_info: None,
    }
}

/// The broker has accounts of its own (`MQTT_USERNAME`, `MQTT_PASSWORD_FILE`), and no tokens.
fn mqtt(facts: &Facts, topics: &str) -> TransportInfo {
    let topics = Map::from_iter([("topics".to_owned(), json!([topics]))]);
    TransportInfo {
        id: MQTT.to_owned(),
        name: "MQTT broker".to_owned(),
        description: Some(
            "The node's broker; an application publishes to its own topics.".to_owned(),
        ),
        r#type: TransportType::MbTopicBased,
        protocol: "MQTT".to_owned(),
        version: "3.1.1".to_owned(),
        endpoint: EndPointInfo {
            uris: Some(vec![facts.broker.clone()]),
            ..EndPointInfo::default()
        },
        security: SecurityInfo::default(),
        impl_specific_info: Some(topics),
    }
}
