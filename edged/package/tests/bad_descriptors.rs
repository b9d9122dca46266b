//! Descriptors that are signed and wrong: refused, with file and field.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests"
)]

mod support;

use edged_package::PackageError;
use support::draft::Draft;
use support::{IMAGE, YAML, identity, open, trust};

fn refused(draft: &Draft) -> PackageError {
    let identity = identity("Example Works");
    match open(&draft.pack(&identity), &trust(&identity)) {
        Ok(_) => panic!("taken:\n{}\n{}", draft.manifest(), draft.yaml),
        Err(error) => error,
    }
}

#[track_caller]
fn blames(draft: &Draft, file: &str, field: &str, reason: &str) {
    let error = refused(draft);
    assert_eq!(
        (error.file(), error.field()),
        (file, Some(field)),
        "{error}"
    );
    assert!(error.to_string().contains(reason), "{error}");
}

const APP: &str = "/topology_template/node_templates/Application";
const CONTAINER: &str = "/topology_template/node_templates/Container";

#[test]
fn a_node_of_an_unknown_type_is_refused() {
    let own = "type: \"tosca.nodes.nfv.VduCp\"";
    let field = "/topology_template/node_templates/Connection/type";
    blames(
        &Draft::good().yaml(own, "type: \"tosca.nodes.nfv.Magic\""),
        YAML,
        field,
        "Magic",
    );
    blames(
        &Draft::good().yaml("\"tosca.nodes.mec.MecApp\"", "\"tosca.nodes.Root\""),
        YAML,
        &format!("{APP}/type"),
        "not known",
    );
    let error = refused(&Draft::good().yaml(own, "type: \"tosca.nodes.nfv.Vdu.Compute\""));
    assert!(error.to_string().contains("virtual machine"), "{error}");
}

#[test]
fn a_field_that_is_missing_unknown_or_of_another_type_is_named() {
    let at = |path: &str| format!("{APP}/properties/{path}");
    let good = Draft::good;
    for (from, to, field, reason) in [
        (
            "ip_address_type: \"IP_V4\"",
            "ip_address_type: \"IPv4\"",
            at("app_dns_rule/0/ip_address_type"),
            "IPv4",
        ),
        (
            " ip_address: \"10.86.0.2\"",
            " ip_address: \"fe80::1\"",
            at("app_dns_rule/0/ip_address"),
            "family",
        ),
        (
            " ip_address: \"10.86.0.2\"",
            " ip_address: \"10.86.0\"",
            at("app_dns_rule/0/ip_address"),
            "IP address",
        ),
        (
            "domain_name: \"page.example.org\"",
            "domain_name: \"http://a\"",
            at("app_dns_rule/0/domain_name"),
            "domain",
        ),
        (
            "            domain_name: \"page.example.org\"\n",
            "",
            at("app_dns_rule/0/domain_name"),
            "missing",
        ),
        (
            "ttl: 60",
            "ttl: \"60\"",
            at("app_dns_rule/0/ttl"),
            "invalid type",
        ),
        (
            "action: \"FORWARD_DECAPSULATED\"",
            "action: \"REJECT\"",
            at("app_traffic_rule/0/action"),
            "REJECT",
        ),
        (
            "action: \"FORWARD_DECAPSULATED\"",
            "action: \"DROP\"",
            at("app_traffic_rule/0/dst_interface"),
            "DROP",
        ),
        (
            "priority: 10",
            "priority: 256",
            at("app_traffic_rule/0/priority"),
            "256",
        ),
        (
            "priority: 10",
            "priority: 10\n            colour: \"red\"",
            at("app_traffic_rule/0/colour"),
            "unknown field",
        ),
        (
            "filter_type: \"FLOW\"",
            "filter_type: \"flow\"",
            at("app_traffic_rule/0/filter_type"),
            "flow",
        ),
        (
            "traffic_rule_id: \"cameras\"",
            "traffic_rule_id: \"\"",
            at("app_traffic_rule/0/traffic_rule_id"),
            "empty",
        ),
        (
            "ser_name: \"IOTS\"",
            "sername: \"IOTS\"",
            at("app_service_required/0/sername"),
            "unknown field",
        ),
        (
            "mec_version:",
            "mec_versions:",
            at("mec_versions"),
            "leave it out",
        ),
        ("- \"3.1.1\"", "- \"3.1\"", at("mec_version"), "3.1.1"),
        (
            "flavour_id: \"simple\"",
            "flavour_id: \"simple\"\n        provider: \"Another\"",
            at("provider"),
            "constraint",
        ),
        (
            "umec.publish: \"8080:80/tcp\"",
            "umec.publish: 8080",
            format!("{APP}/metadata/umec.publish"),
            "quotes",
        ),
        (
            "umec.publish: \"8080:80/tcp\"",
            "umec.publish: \"80\"",
            format!("{APP}/metadata/umec.publish"),
            "HOST",
        ),
        (
            "umec.confirm_ready",
            "umec.confirm_read",
            format!("{APP}/metadata/umec.confirm_read"),
            "not known",
        ),
        (
            "umec.service.sensor-page",
            "umec.service.other",
            format!("{APP}/metadata/umec.service.other"),
            "ser_name",
        ),
        (
            "cpu_resource_limit: 500",
            "cpu_resource_limit: \"500m\"",
            format!("{CONTAINER}/properties/cpu_resource_limit"),
            "type",
        ),
        (
            "\"64 MiB\"",
            "\"64 potatoes\"",
            format!("{CONTAINER}/properties/memory_resource_limit"),
            "64 MiB",
        ),
        (
            "file: \"Artifacts/Images/image.tar\"",
            "file: \"nowhere.tar\"",
            format!("{CONTAINER}/artifacts/sw_image/file"),
            "no file",
        ),
        (
            "file: \"Artifacts/Images/image.tar\"",
            "file: \"r.io/page:1\"",
            format!("{CONTAINER}/artifacts/sw_image/file"),
            "digest",
        ),
        (
            "container_format: \"docker\"",
            "container_format: \"aki\"",
            format!("{CONTAINER}/artifacts/sw_image/properties/container_format"),
            "docker",
        ),
        (
            "algorithm: \"sha-256\"",
            "algorithm: \"md5\"",
            format!("{CONTAINER}/artifacts/sw_image/properties/checksum"),
            "md5",
        ),
        (
            "container: \"Container\"",
            "container: \"Other\"",
            "/topology_template/node_templates/Unit/requirements/0/container".to_owned(),
            "no such node",
        ),
        (
            "min_number_of_instances: 1",
            "min_number_of_instances: 2",
            "/topology_template/node_templates/Unit/properties/vdu_profile/min_number_of_instances"
                .to_owned(),
            "once",
        ),
        (
            "tosca_simple_yaml_1_3",
            "tosca_simple_yaml_9_9",
            "/tosca_definitions_version".to_owned(),
            "not known",
        ),
        ("imports:", "importz:", "/importz".to_owned(), "not known"),
    ] {
        blames(&good().yaml(from, to), YAML, &field, reason);
    }
}

#[test]
fn two_applications_with_one_id_are_refused() {
    let app = Draft::good().yaml;
    let start = app.find("    Application:\n").unwrap();
    let end = app.find("    Container:\n").unwrap();
    let twin = app[start..end].replacen("Application", "Twin", 1);
    let error =
        refused(&Draft::good().yaml("    Container:\n", &format!("{twin}    Container:\n")));
    assert_eq!(
        (error.file(), error.field()),
        (YAML, Some("/topology_template/node_templates/Twin"))
    );
    assert!(
        error
            .to_string()
            .contains("one descriptor_id \"sensor-page-1.0.0\""),
        "{error}"
    );
    let error = refused(&Draft::good().yaml(
        "type: \"ExampleWorks.sensorpage\"\n      metadata:",
        "type: \"tosca.nodes.nfv.Mciop\"\n      metadata:",
    ));
    assert!(
        error.to_string().contains("there is no application"),
        "{error}"
    );
}

#[test]
fn two_rules_with_one_id_are_refused() {
    let yaml = Draft::good().yaml;
    let start = yaml.find("        app_dns_rule:\n").unwrap() + "        app_dns_rule:\n".len();
    let rule = &yaml[start..start + yaml[start..].find("        lcm").unwrap()];
    let draft = Draft::good().yaml(rule, &rule.repeat(2));
    blames(
        &draft,
        YAML,
        &format!("{APP}/properties/app_dns_rule/1"),
        "already",
    );
}

#[test]
fn the_image_is_the_one_that_the_descriptor_promised() {
    let mut draft = Draft::good();
    draft.image = b"another image, and the manifest agrees".to_vec();
    let error = refused(&draft);
    assert!(matches!(error, PackageError::Digest { .. }), "{error}");
    assert_eq!(error.file(), IMAGE);
    assert!(error.to_string().contains(YAML), "{error}");
}

#[test]
fn yaml_that_grows_is_refused() {
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b]\n";
    let mut draft = Draft::good();
    draft.yaml.insert_str(0, bomb);
    let error = refused(&draft);
    assert_eq!(error.file(), YAML, "{error}");
    assert!(error.field().is_some());
    for nested in [
        "[".repeat(10_000),
        "- ".repeat(10_000),
        "? ".repeat(5_000),
        "a: {".repeat(3_000),
    ] {
        let mut draft = Draft::good();
        draft.yaml = nested;
        assert_eq!(refused(&draft).file(), YAML);
    }
    let mut draft = Draft::good();
    draft.yaml = "- x\n".repeat(30_000);
    assert_eq!(refused(&draft).file(), YAML);
    blames(
        &Draft::good().yaml("description:", "description: \"x\"\ndescription:"),
        YAML,
        "line 3",
        "duplicate",
    );
}

#[test]
fn imports_stay_in_the_package() {
    let import =
        |name: &str| Draft::good().yaml("imports:\n", &format!("imports:\n  - \"{name}\"\n"));
    let error = refused(&import("absent.yaml"));
    assert_eq!(error.file(), "absent.yaml", "{error}");
    blames(
        &import("../../etc/passwd"),
        YAML,
        "/imports/0",
        "out of the package",
    );
    // A circle ends.
    let identity = identity("Example Works");
    let other =
        "tosca_definitions_version: tosca_simple_yaml_1_3\nimports:\n  - application.yaml\n";
    let circle = import("other.yaml").with("other.yaml", other.as_bytes());
    open(&circle.pack(&identity), &trust(&identity)).unwrap();
}
