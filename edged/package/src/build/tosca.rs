//! The descriptor of a package that we make, in TOSCA.

use serde::Serialize;
use serde_json::Value;

use super::description::Description;
use super::yaml::{Yaml, map, text};
use crate::hash::Hash;

/// The types' definitions at ETSI: named, never fetched, and not copied into the package.
const TYPES: &str = "https://forge.etsi.org/rep/mec/gs037-pkg-format/raw/v3.2.1/MecAppDTypes.yaml";
/// `vnfm_info` of MEC 037, 5.2.3.3.
pub(super) const VNFM_INFO: &str = "etsivnfm:v2.3.1";
/// The nodes' names.
const APP: &str = "Application";
const CONTAINER: &str = "Container";
const UNIT: &str = "Unit";
const CONNECTION: &str = "Connection";

/// The image as the descriptor names it.
pub(super) struct Artifact {
    pub(super) file: String,
    pub(super) checksum: Option<Hash>,
    pub(super) size: Option<u64>,
}

/// The descriptor's text.
pub(super) fn descriptor(
    description: &Description,
    image: &Artifact,
    metadata: &[(String, String)],
) -> String {
    let own_type = format!(
        "{}.{}",
        type_name(&description.provider),
        type_name(&description.name)
    );
    map([
        ("tosca_definitions_version", text("tosca_simple_yaml_1_3")),
        ("description", text(&description.about)),
        ("imports", Yaml::List(vec![text(TYPES)])),
        (
            "node_types",
            Yaml::Map(vec![(own_type.clone(), node_type(description))]),
        ),
        (
            "topology_template",
            map([
                (
                    "substitution_mappings",
                    map([
                        ("node_type", text(&own_type)),
                        (
                            "requirements",
                            map([(
                                "virtual_link",
                                Yaml::List(vec![text(CONNECTION), text("virtual_link")]),
                            )]),
                        ),
                    ]),
                ),
                (
                    "node_templates",
                    map([
                        (APP, application(&own_type, description, metadata)),
                        (CONTAINER, container(description, image)),
                        (UNIT, unit(description)),
                        (CONNECTION, connection()),
                    ]),
                ),
                ("policies", policies()),
            ]),
        ),
    ])
    .document()
}

/// A part of a type's name: what is neither letter nor digit is left out.
fn type_name(text: &str) -> String {
    let name: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if name.is_empty() {
        "App".to_owned()
    } else {
        name
    }
}

/// The application's own type: its identity as constraints and defaults (SOL 001, 6.8.1.8).
fn node_type(description: &Description) -> Yaml {
    let fixed = |value: &str| {
        map([
            ("type", text("string")),
            (
                "constraints",
                Yaml::List(vec![map([("equal", text(value))])]),
            ),
            ("default", text(value)),
        ])
    };
    let vnfm = || Yaml::List(vec![text(VNFM_INFO)]);
    map([
        ("derived_from", text("tosca.nodes.mec.MecApp")),
        (
            "properties",
            map([
                ("descriptor_id", fixed(&description.id())),
                ("provider", fixed(&description.provider)),
                ("product_name", fixed(&description.name)),
                ("software_version", fixed(&description.version)),
                (
                    "descriptor_version",
                    fixed(description.descriptor_version()),
                ),
                (
                    "vnfm_info",
                    map([
                        ("type", text("list")),
                        ("entry_schema", map([("type", text("string"))])),
                        ("constraints", Yaml::List(vec![map([("equal", vnfm())])])),
                        ("default", vnfm()),
                    ]),
                ),
            ]),
        ),
    ])
}

fn list<T: Serialize>(items: &[T]) -> Yaml {
    // These types have texts, numbers and each other: nothing that JSON cannot hold.
    serde_json::to_value(items).map_or_else(|_| Yaml::List(Vec::new()), Yaml::from)
}

fn number(number: impl Into<Value>) -> Yaml {
    Yaml::Scalar(number.into())
}

fn application(own_type: &str, description: &Description, metadata: &[(String, String)]) -> Yaml {
    let mut properties = vec![
        ("flavour_id", text("simple")),
        ("flavour_description", text("")),
        ("product_info_description", text(&description.about)),
        (
            "mec_version",
            Yaml::List(description.mec_versions.iter().map(text).collect()),
        ),
    ];
    if let Some(title) = &description.title {
        properties.push(("product_info_name", text(title)));
    }
    for (name, values) in [
        ("app_service_required", list(&description.services.required)),
        ("app_service_optional", list(&description.services.optional)),
        ("app_service_produced", list(&description.produced())),
        ("app_feature_required", list(&description.features.required)),
        ("app_feature_optional", list(&description.features.optional)),
        ("app_traffic_rule", rules(&description.traffic_rules)),
        ("app_dns_rule", list(&description.dns_rules)),
    ] {
        if matches!(&values, Yaml::List(items) if !items.is_empty()) {
            properties.push((name, values));
        }
    }
    if let Some(nanoseconds) = description.max_latency_ns {
        properties.push(("app_latency", map([("max_latency", number(nanoseconds))])));
    }
    if let Some(grace) = description.stop_grace {
        let least = || text(format!("{} ms", grace.0));
        properties.push((
            "lcm_operations_configuration",
            map([
                (
                    "terminate",
                    map([("min_graceful_termination_timeout", least())]),
                ),
                ("operate", map([("min_graceful_stop_timeout", least())])),
            ]),
        ));
    }
    let mut node = vec![("type", text(own_type))];
    if !metadata.is_empty() {
        let members = metadata
            .iter()
            .map(|(name, value)| (name.clone(), text(value)));
        node.push(("metadata", Yaml::Map(members.collect())));
    }
    node.push(("properties", map(properties)));
    map(node)
}

/// Traffic rules; their one destination is a list of one in TOSCA.
fn rules(rules: &[crate::appd::TrafficRuleDescriptor]) -> Yaml {
    let Yaml::List(mut items) = list(rules) else {
        return Yaml::List(Vec::new());
    };
    for item in &mut items {
        let Yaml::Map(members) = item else {
            continue;
        };
        for (name, value) in members {
            if name == "dst_interface" && matches!(value, Yaml::Map(_)) {
                *value = Yaml::List(vec![value.clone()]);
            }
        }
    }
    Yaml::List(items)
}

fn container(description: &Description, image: &Artifact) -> Yaml {
    let resources = &description.resources;
    let mut properties = vec![
        ("name", text(&description.name)),
        ("description", text(&description.about)),
    ];
    for (name, cpus) in [
        ("requested_cpu_resources", resources.requested_cpus),
        ("cpu_resource_limit", resources.cpus),
    ] {
        if let Some(cpus) = cpus {
            properties.push((name, number(cpus.0)));
        }
    }
    for (name, memory) in [
        ("requested_memory_resources", resources.requested_memory),
        ("memory_resource_limit", resources.memory),
    ] {
        if let Some(memory) = memory {
            properties.push((name, text(amount(memory.0))));
        }
    }
    let mut about = vec![
        ("name", text(&description.name)),
        ("version", text(&description.version)),
    ];
    if let Some(hash) = &image.checksum {
        let algorithm = hash.algorithm.to_string().to_ascii_lowercase();
        about.push((
            "checksum",
            map([("algorithm", text(algorithm)), ("hash", text(&hash.hex))]),
        ));
    }
    about.push(("container_format", text("docker")));
    if let Some(size) = image.size {
        about.push(("size", text(amount(size))));
    }
    map([
        ("type", text("tosca.nodes.nfv.Vdu.OsContainer")),
        ("properties", map(properties)),
        (
            "artifacts",
            map([(
                "sw_image",
                map([
                    ("type", text("tosca.artifacts.nfv.SwImage")),
                    ("file", text(&image.file)),
                    ("properties", map(about)),
                ]),
            )]),
        ),
    ])
}

/// A size with the largest unit that loses nothing, in numbers that any reader takes.
fn amount(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .iter()
        .find(|(shift, _)| bytes >> shift > 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{bytes} B"),
            |(shift, unit)| format!("{} {unit}", bytes >> shift),
        )
}

fn unit(description: &Description) -> Yaml {
    map([
        (
            "type",
            text("tosca.nodes.nfv.Vdu.OsContainerDeployableUnit"),
        ),
        (
            "properties",
            map([
                ("name", text(&description.name)),
                ("description", text(&description.about)),
                (
                    "vdu_profile",
                    map([
                        ("min_number_of_instances", number(1)),
                        ("max_number_of_instances", number(1)),
                    ]),
                ),
            ]),
        ),
        (
            "requirements",
            Yaml::List(vec![map([("container", text(CONTAINER))])]),
        ),
    ])
}

fn connection() -> Yaml {
    map([
        ("type", text("tosca.nodes.nfv.VduCp")),
        (
            "properties",
            map([("layer_protocols", Yaml::List(vec![text("ipv4")]))]),
        ),
        (
            "requirements",
            Yaml::List(vec![map([("virtual_binding", text(UNIT))])]),
        ),
    ])
}

/// One level of one instance (MEC 037, 5.2.8).
fn policies() -> Yaml {
    let levels = map([
        ("type", text("tosca.policies.nfv.InstantiationLevels")),
        (
            "properties",
            map([
                (
                    "levels",
                    map([(
                        "default",
                        map([
                            ("description", text("the one level")),
                            ("scale_info", map([])),
                        ]),
                    )]),
                ),
                ("default_level", text("default")),
            ]),
        ),
    ]);
    let units = map([
        ("type", text("tosca.policies.nfv.VduInstantiationLevels")),
        ("targets", Yaml::List(vec![text(UNIT)])),
        (
            "properties",
            map([(
                "levels",
                map([("default", map([("number_of_instances", number(1))]))]),
            )]),
        ),
    ]);
    Yaml::List(vec![
        map([("instantiation_levels", levels)]),
        map([("unit_instantiation_levels", units)]),
    ])
}
