//! The application descriptor: `AppD` of MEC 010-2, read from TOSCA as MEC 037 has it.

mod container;
mod extension;
mod image;
mod read;
mod rule;
mod service;
mod spec;
mod topology;
mod units;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use container::{OsContainerDescriptor, SwImageDescriptor};
pub use extension::{Extensions, ServicePort};
pub(crate) use extension::{probe, service_port};
pub use image::ImageSource;
pub(crate) use read::Read;
pub use rule::{
    DnsRuleDescriptor, FilterType, InterfaceDescriptor, InterfaceType, IpAddressType,
    TrafficFilter, TrafficRuleAction, TrafficRuleDescriptor, TunnelInfo, TunnelType,
};
pub use service::{
    CategoryRef, FeatureDependency, OAuth2Info, SecurityInfo, SerializerType, ServiceDependency,
    ServiceDescriptor, TransportDependency, TransportDescriptor, TransportSupported, TransportType,
};
pub use spec::SpecError;
pub use units::{Amount, Gigabytes, Megabytes, Seconds};

/// An application descriptor; as JSON it is the `AppD` of MEC 010-2, with [`Extensions`] as member `umec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppDescriptor {
    /// Unique in the world.
    #[serde(rename = "appDId")]
    pub app_d_id: String,
    /// Name of the application.
    pub app_name: String,
    /// Who provides it.
    pub app_provider: String,
    /// Version of the software.
    pub app_soft_version: String,
    /// Version of the descriptor.
    #[serde(rename = "appDVersion")]
    pub app_d_version: String,
    /// Versions of MEC 010-2 that it works with; on the wire one text with commas.
    #[serde(serialize_with = "with_commas", deserialize_with = "without_commas")]
    pub mec_version: Vec<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_info_name: Option<String>,
    /// For people.
    pub app_description: String,
    /// Its containers.
    pub os_container_descriptor: Vec<OsContainerDescriptor>,
    /// Their images.
    pub sw_image_descriptor: Vec<SwImageDescriptor>,
    /// Its connections to the outside.
    pub app_ext_cpd: Vec<AppExternalCpd>,
    /// Services without which it cannot run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_service_required: Vec<ServiceDependency>,
    /// Services that it uses when they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_service_optional: Vec<ServiceDependency>,
    /// Services that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_service_produced: Vec<ServiceDescriptor>,
    /// Features without which it cannot run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_feature_required: Vec<FeatureDependency>,
    /// Features that it uses when they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_feature_optional: Vec<FeatureDependency>,
    /// Transports that it needs for its own services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transport_dependencies: Vec<TransportDependency>,
    /// Traffic rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_traffic_rule: Vec<TrafficRuleDescriptor>,
    /// DNS rules.
    #[serde(rename = "appDNSRule", default, skip_serializing_if = "Vec::is_empty")]
    pub app_dns_rule: Vec<DnsRuleDescriptor>,
    /// The most delay that it tolerates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_latency: Option<LatencyDescriptor>,
    /// How instances are terminated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate_app_instance_op_config: Option<TerminateAppInstanceOpConfig>,
    /// How instances are stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_app_instance_state_op_config: Option<ChangeAppInstanceStateOpConfig>,
    /// Whether state of users can move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_context_transfer_capability: Option<UserContextTransferCapability>,
    /// Networks that should carry its traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_network_policy: Option<AppNetworkPolicy>,
    /// Wishes that MEC 010-2 has no word for.
    #[serde(rename = "umec", default)]
    pub extensions: Extensions,
}

/// A connection to the outside (`AppExternalCpd`): a node of type `tosca.nodes.nfv.VduCp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppExternalCpd {
    /// In the descriptor: the node.
    pub cpd_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The most delay that an application tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyDescriptor {
    /// Nanoseconds.
    #[serde(alias = "max_latency")]
    pub max_latency: u32,
}

/// How instances are terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TerminateAppInstanceOpConfig {
    /// The least time to give an instance for leaving in good order.
    #[serde(alias = "min_graceful_termination_timeout")]
    pub min_graceful_termination_timeout: Seconds,
    /// The most that it can need.
    #[serde(
        alias = "max_recommended_graceful_termination_timeout",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub max_recommended_graceful_termination_timeout: Option<Seconds>,
}

/// How instances are stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeAppInstanceStateOpConfig {
    /// The least time to give an instance for stopping in good order.
    #[serde(alias = "min_graceful_stop_timeout")]
    pub min_graceful_stop_timeout: Seconds,
    /// The most that it can need.
    #[serde(
        alias = "max_recommended_graceful_stop_timeout",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub max_recommended_graceful_stop_timeout: Option<Seconds>,
}

/// Whether state of users can move between instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserContextTransferCapability {
    /// Whether it keeps state for its users.
    #[serde(alias = "stateful_application")]
    pub stateful_application: bool,
    /// Whether that state can move.
    #[serde(
        alias = "user_context_transfer_support",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub user_context_transfer_support: Option<bool>,
}

/// Networks that should carry the application's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppNetworkPolicy {
    /// The networks preferred.
    pub steered_network: SteeredNetwork,
}

/// Networks preferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SteeredNetwork {
    /// A mobile network.
    #[serde(alias = "cellular_network", skip_serializing_if = "Option::is_none")]
    pub cellular_network: Option<bool>,
    /// Wi-Fi.
    #[serde(
        rename = "wi-fiNetwork",
        alias = "wi_fi_network",
        alias = "wifi_network",
        skip_serializing_if = "Option::is_none"
    )]
    pub wi_fi_network: Option<bool>,
    /// A fixed line.
    #[serde(
        alias = "fixed_access_network",
        skip_serializing_if = "Option::is_none"
    )]
    pub fixed_access_network: Option<bool>,
}

fn with_commas<S: Serializer>(versions: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&versions.join(","))
}

fn without_commas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text
        .split(',')
        .map(|version| version.trim().to_owned())
        .collect())
}
