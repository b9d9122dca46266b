//! What the nodes of these measures begin with.

use serde_json::{Value, json};

/// The id of an application of a seed, by its number.
pub fn id(number: usize) -> String {
    format!("5f0a9f0e-64c5-4b3c-8a4e-{number:012}")
}

/// Applications that run elsewhere.
pub fn of(instances: &[Value]) -> Value {
    json!({ "instances": instances })
}

/// One of them, with more members.
pub fn instance(number: usize, member: &str, objects: &[Value]) -> Value {
    json!({"appInstanceId": id(number), "appName": format!("elsewhere-{number}"), "running": true, member: objects})
}

/// A service as a REST interface of a sensor's application would offer it.
pub fn service(number: usize, version: &str) -> Value {
    json!({
        "serName": format!("thermometer-{number}"), "version": version, "state": "ACTIVE", "serializer": "JSON",
        "transportInfo": {
            "id": "rest", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1",
            "endpoint": {"uris": [format!("http://192.0.2.10:{}/", 8000 + number)]}, "security": {},
        },
    })
}
