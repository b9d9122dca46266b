//! Descriptors as others write them: the same facts in other spellings.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]
mod support;

use edged_package::{AppDescriptor, SpecError};
use serde_json::json;
use support::draft::Draft;
use support::{identity, open, trust};

fn read(draft: &Draft) -> AppDescriptor {
    let identity = identity("Example Works");
    open(&draft.pack(&identity), &trust(&identity))
        .unwrap()
        .descriptor()
        .clone()
}

#[test]
fn transports_are_read_flat_and_nested() {
    let more = r"mec_version:
          - 2.2.1
          - 3.1.1
        transport_dependencies:
          - transport_serializer:
              transport:
                type: REST_HTTP
                protocol: HTTP
                version: '2.0'
                security:
                  oauth2_grant_type: [OAUTH2_CLIENT_CREDENTIALS]
                  oauth2_token_endpoint: /token
              serializers: [JSON]
            labels: [web]
          - transport: {name: bus, type: MB_TOPIC_BASED, protocol: MQTT, version: '3.1.1', security: {}}
            serializers: [PROTOBUF3]
            labels: [bus]
        app_feature_required:
          - {feature_name: UserApps, version: '1.0'}
        app_latency: {max_latency: 20000000}
        user_context_transfer_capability: {stateful_application: true, user_context_transfer_support: false}
        app_network_policy: {cellular_network: true, wifi_network: false}
";
    let draft = Draft::good()
        .yaml("mec_version:\n          - \"3.1.1\"\n", more)
        .metadata("mec_versions: 3.1.1", "mec_versions: '3.1.1, 2.2.1'");
    let wire = serde_json::to_value(read(&draft)).unwrap();
    assert_eq!(wire["mecVersion"], "2.2.1,3.1.1");
    let rest = &wire["transportDependencies"][0];
    assert_eq!(
        rest["transport"]["security"]["oAuth2Info"]["grantTypes"],
        json!(["OAUTH2_CLIENT_CREDENTIALS"])
    );
    assert_eq!(rest["transport"]["name"], "transport");
    assert_eq!(
        wire["transportDependencies"][1]["transport"]["security"],
        json!({})
    );
    assert_eq!(wire["appFeatureRequired"][0]["featureName"], "UserApps");
    assert_eq!(wire["appLatency"]["maxLatency"], 20_000_000);
    assert_eq!(
        wire["userContextTransferCapability"]["userContextTransferSupport"],
        false
    );
    assert_eq!(
        wire["appNetworkPolicy"],
        json!({"steeredNetwork": {"cellularNetwork": true, "wi-fiNetwork": false}})
    );
    assert_eq!(
        serde_json::from_value::<AppDescriptor>(wire).unwrap(),
        read(&draft)
    );
}

#[test]
fn tunnels_and_copies_are_read_as_rules() {
    let more = r"app_traffic_rule:
          - traffic_rule_id: mirror
            filter_type: PACKET
            priority: 0
            traffic_filter:
              - {src_tunnel_address: [192.0.2.1], src_port: [8080, 9000-9010], protocol: [17], token: [1234], qci: 1, tc: 1}
            action: DUPLICATE_ENCAPSULATED
            dst_interface:
              - interface_type: TUNNEL
                tunnel_info: {tunnel_type: GTP-U, tunnel_dst_address: 192.0.2.9, tunnel_src_address: 192.0.2.8}
              - {interface_type: MAC, dst_mac_address: 02-00-00-00-00-01}
";
    let wire =
        serde_json::to_value(read(&Draft::good().yaml("app_traffic_rule:\n", more))).unwrap();
    let rule = &wire["appTrafficRule"][0];
    assert_eq!(
        rule["trafficFilter"][0],
        json!({"srcTunnelAddress": ["192.0.2.1"], "srcPort": ["8080", "9000-9010"], "protocol": ["17"],
               "tag": ["1234"], "qCI": 1, "tC": 1})
    );
    assert_eq!(rule["dstInterface"][0]["tunnelInfo"]["tunnelType"], "GTP-U");
    assert_eq!(
        rule["dstInterface"][1]["dstMACAddress"],
        "02-00-00-00-00-01"
    );
}

#[test]
fn types_may_be_in_an_imported_file_and_derive_from_each_other() {
    let types = "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types:\n  \
                 Works.Base:\n    derived_from: tosca.nodes.mec.MecApp\n    properties:\n      provider:\n        \
                 type: string\n        default: Example Works\n";
    let draft = Draft::good()
        .yaml(
            "imports:\n",
            "imports:\n  - file: types/own.yaml\n  - types/MecAppDTypes.yaml\n",
        )
        .yaml(
            "derived_from: \"tosca.nodes.mec.MecApp\"",
            "derived_from: Works.Base",
        )
        .with("types/own.yaml", types.as_bytes());
    assert_eq!(read(&draft).app_provider, "Example Works");
}

#[test]
fn an_image_is_found_from_the_root_and_from_the_descriptor() {
    let mut draft = Draft::good().meta("application.yaml", "Definitions/application.yaml");
    draft = draft.yaml("file: \"Artifacts", "file: \"../Artifacts");
    let yaml = std::mem::take(&mut draft.yaml);
    draft.yaml = "unused: true\n".to_owned();
    let draft = draft.with("Definitions/application.yaml", yaml.as_bytes());
    assert_eq!(read(&draft).sw_image_descriptor[0].sw_image, support::IMAGE);
}

#[test]
fn several_containers_are_a_good_descriptor_that_is_not_run_here() {
    let yaml = Draft::good().yaml;
    let start = yaml.find("    Container:\n").unwrap();
    let end = yaml.find("    Unit:\n").unwrap();
    let sidecar = yaml[start..end].replacen("Container", "Sidecar", 1);
    let descriptor = read(&Draft::good().yaml("    Unit:\n", &format!("{sidecar}    Unit:\n")));
    assert_eq!(descriptor.os_container_descriptor.len(), 2);
    let answer = descriptor.spec("a".parse().unwrap(), "a".parse().unwrap());
    assert!(
        matches!(answer, Err(SpecError::Containers { count: 2, .. })),
        "{answer:?}"
    );
    let none = read(&Draft::good().yaml("cpu_resource_limit: 500", "cpu_resource_limit: 0"));
    let answer = none.spec("a".parse().unwrap(), "a".parse().unwrap());
    assert!(matches!(answer, Err(SpecError::NoCpu { .. })), "{answer:?}");
}
