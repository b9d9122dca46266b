//! `ServiceInfo` of MEC 011 (8.1.2.2), as far as registration needs it.

use edged_model::InstanceId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Problem;

/// Members that MEC 011 v3.1.1 requires of a registration.
const REQUIRED: [&str; 4] = ["serName", "version", "state", "serializer"];
const STATES: [&str; 3] = ["ACTIVE", "INACTIVE", "SUSPENDED"];
const SERIALIZERS: [&str; 3] = ["JSON", "XML", "PROTOBUF3"];

/// A service's description: the checked members are looked at, the others are kept as they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceInfo(Map<String, Value>);

/// A service and who registered it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredService {
    /// `serInstanceId`.
    pub id: String,
    /// The registering instance.
    pub instance: InstanceId,
    /// Its description, `serInstanceId` and `_links` included.
    pub info: ServiceInfo,
}

impl ServiceInfo {
    /// Checks a registration.
    pub fn parse(body: Value) -> Result<Self, Problem> {
        let Value::Object(members) = body else {
            return Err(Problem::bad_request(
                "the body must be a ServiceInfo object",
            ));
        };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        for name in REQUIRED {
            if text(name).is_none_or(str::is_empty) {
                return Err(Problem::bad_request(format!(
                    "ServiceInfo needs the text {name}"
                )));
            }
        }
        if !text("state").is_some_and(|state| STATES.contains(&state)) {
            return Err(Problem::bad_request(
                "ServiceInfo.state must be ACTIVE, INACTIVE or SUSPENDED",
            ));
        }
        if !text("serializer").is_some_and(|serializer| SERIALIZERS.contains(&serializer)) {
            return Err(Problem::bad_request(
                "ServiceInfo.serializer must be JSON, XML or PROTOBUF3",
            ));
        }
        if members.contains_key("transportId") == members.contains_key("transportInfo") {
            return Err(Problem::bad_request(
                "ServiceInfo needs exactly one of transportId and transportInfo",
            ));
        }
        Ok(Self(members))
    }

    /// The description as stored: its id and its own address are the platform's, whatever the client sent.
    #[must_use]
    pub fn registered(mut self, id: &str, href: &str) -> Self {
        self.0
            .insert("serInstanceId".to_owned(), Value::String(id.to_owned()));
        self.0.insert(
            "_links".to_owned(),
            serde_json::json!({ "self": { "href": href } }),
        );
        self
    }

    /// `serName`.
    pub fn name(&self) -> &str {
        self.0
            .get("serName")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// `state`.
    pub fn state(&self) -> &str {
        self.0
            .get("state")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The port of the first URI or address of the endpoint, for DNS-SD.
    pub fn port(&self) -> Option<u16> {
        let endpoint = self.0.get("transportInfo")?.get("endpoint")?;
        if let Some(port) = endpoint
            .pointer("/addresses/0/port")
            .and_then(Value::as_u64)
        {
            return u16::try_from(port).ok();
        }
        let uri: axum::http::Uri = endpoint.pointer("/uris/0")?.as_str()?.parse().ok()?;
        uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({ "serName": "page", "version": "1", "state": "ACTIVE", "serializer": "JSON",
                "transportInfo": { "endpoint": { "uris": ["http://page.app.edge.mec.internal:8080/"] } } })
    }

    #[test]
    fn a_registration_has_a_name_a_state_a_serializer_and_one_transport() {
        assert_eq!(ServiceInfo::parse(good()).unwrap().port(), Some(8080));
        for (member, value) in [
            ("serName", Value::Null),
            ("state", json!("UP")),
            ("serializer", json!("YAML")),
        ] {
            let mut bad = good();
            bad[member] = value;
            assert!(ServiceInfo::parse(bad).is_err(), "{member}");
        }
        let mut both = good();
        both["transportId"] = json!("t");
        assert!(ServiceInfo::parse(both).is_err());
        assert!(ServiceInfo::parse(json!([])).is_err());
    }
}
