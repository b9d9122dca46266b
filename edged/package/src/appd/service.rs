//! Services, features and transports that an application needs or offers (MEC 010-2, 6.2.1.4 to 6.2.1.8, 6.2.1.19).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A category of services in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CategoryRef {
    /// The catalogue.
    pub href: String,
    /// In the catalogue.
    pub id: String,
    /// For people.
    pub name: String,
    /// Of the category.
    pub version: String,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the standard's words say it")]
pub enum TransportType {
    RestHttp,
    MbTopicBased,
    MbRouting,
    MbPubsub,
    Rpc,
    RpcStreaming,
    Websocket,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the standard's words say it")]
pub enum SerializerType {
    Json,
    Xml,
    Protobuf3,
}

/// How to get a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OAuth2Info {
    /// `OAUTH2_CLIENT_CREDENTIALS` and the like.
    #[serde(alias = "grant_types")]
    pub grant_types: Vec<String>,
    /// Where.
    #[serde(
        alias = "token_endpoint",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub token_endpoint: Option<String>,
}

/// How a transport is protected; empty when it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawSecurityInfo")]
pub struct SecurityInfo {
    /// With OAuth 2.0.
    #[serde(rename = "oAuth2Info", skip_serializing_if = "Option::is_none")]
    pub oauth2_info: Option<OAuth2Info>,
}

/// MEC 010-2 has an object, the examples of MEC 037 write its members one level up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSecurityInfo {
    #[serde(rename = "oAuth2Info", alias = "oauth2_info")]
    info: Option<OAuth2Info>,
    #[serde(rename = "oauth2_grant_type", default)]
    grant_types: Vec<String>,
    #[serde(rename = "oauth2_token_endpoint")]
    token_endpoint: Option<String>,
}

impl From<RawSecurityInfo> for SecurityInfo {
    fn from(raw: RawSecurityInfo) -> Self {
        let flat = (!raw.grant_types.is_empty()).then_some(OAuth2Info {
            grant_types: raw.grant_types,
            token_endpoint: raw.token_endpoint,
        });
        Self {
            oauth2_info: raw.info.or(flat),
        }
    }
}

/// A transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransportDescriptor {
    /// For people. TOSCA has no such field: absent it is `transport`.
    #[serde(default = "unnamed")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How messages travel.
    #[serde(rename = "type")]
    pub kind: TransportType,
    /// `HTTP` for REST.
    pub protocol: String,
    /// Of the protocol.
    pub version: String,
    /// How it is protected.
    #[serde(default)]
    pub security: SecurityInfo,
    /// What else an implementation needs.
    #[serde(
        alias = "impl_specific_info",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub impl_specific_info: Option<Map<String, Value>>,
}

fn unnamed() -> String {
    "transport".to_owned()
}

/// A way to reach a service (`TransportsSupported`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransportSupported {
    /// The transport.
    pub transport: TransportDescriptor,
    /// The formats over it.
    pub serializers: Vec<SerializerType>,
}

/// A transport that the application needs; entries that share a label are one acceptable group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawTransportDependency")]
pub struct TransportDependency {
    /// The transport.
    pub transport: TransportDescriptor,
    /// The formats over it.
    pub serializers: Vec<SerializerType>,
    /// The groups.
    pub labels: Vec<String>,
}

/// MEC 037 has transport and serializers in an object of their own, MEC 010-2 beside the labels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTransportDependency {
    #[serde(alias = "transportSerializer")]
    transport_serializer: Option<TransportSupported>,
    transport: Option<TransportDescriptor>,
    #[serde(default)]
    serializers: Vec<SerializerType>,
    labels: Vec<String>,
}

impl TryFrom<RawTransportDependency> for TransportDependency {
    type Error = &'static str;
    fn try_from(raw: RawTransportDependency) -> Result<Self, Self::Error> {
        let (transport, serializers) = match (raw.transport_serializer, raw.transport) {
            (Some(both), None) => (both.transport, both.serializers),
            (None, Some(transport)) => (transport, raw.serializers),
            _ => return Err("a transport dependency has one transport_serializer"),
        };
        if serializers.is_empty() || raw.labels.is_empty() {
            return Err("a transport dependency has at least one serializer and one label");
        }
        Ok(Self {
            transport,
            serializers,
            labels: raw.labels,
        })
    }
}

/// A service that the application consumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceDependency {
    /// Its name; MEC services have reserved ones (MEC 037, table 5.2.5.2.2-2).
    #[serde(alias = "ser_name")]
    pub ser_name: String,
    /// Its category.
    #[serde(
        alias = "ser_category",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub ser_category: Option<CategoryRef>,
    /// Its version.
    pub version: String,
    /// How; absent is REST with JSON.
    #[serde(
        alias = "ser_transport_dependencies",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ser_transport_dependencies: Vec<TransportDependency>,
    /// What for; its form is the service's.
    #[serde(
        alias = "requested_permissions",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub requested_permissions: Option<Value>,
}

/// A service that the application offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceDescriptor {
    /// Its name.
    #[serde(alias = "ser_name")]
    pub ser_name: String,
    /// Its category.
    #[serde(
        alias = "ser_category",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub ser_category: Option<CategoryRef>,
    /// Its version.
    pub version: String,
    /// Ways to reach it. MEC 037 spells it in two ways.
    #[serde(
        alias = "transports_supported",
        alias = "transport_supported",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub transports_supported: Vec<TransportSupported>,
}

/// A feature of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureDependency {
    /// Its name.
    #[serde(alias = "feature_name")]
    pub feature_name: String,
    /// Its version.
    pub version: String,
}
