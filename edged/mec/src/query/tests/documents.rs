//! The lists of MEC 010-2 against our documents: every attribute there, of that type, and required where it has to be.

use std::path::Path;

use serde_json::Value;

use super::super::schemas::{APP_INSTANCES, APP_LCM_OP_OCCS, APP_PACKAGES};
use super::super::{Attribute, ListSchema, PATH_SEGMENTS, Presence, SELECTOR_BYTES, Scalar, Shape};

const PACKAGES: &str = "mec010-2-package-management.yaml";
const LIFECYCLE: &str = "mec010-2-lifecycle.yaml";

/// The schemas that stand for one: itself, or where a reference leads, or the alternatives.
struct Place {
    file: String,
    value: Value,
}

fn read(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../openapi")
        .join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap()
}

fn places(file: &str, value: &Value) -> Vec<Place> {
    if let Some(reference) = value["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let file = if other.is_empty() { file } else { other };
        return places(file, read(file).pointer(pointer).unwrap());
    }
    if let Some(alternatives) = value["oneOf"].as_array() {
        return alternatives
            .iter()
            .flat_map(|one| places(file, one))
            .collect();
    }
    vec![Place {
        file: file.to_owned(),
        value: value.clone(),
    }]
}

fn has_type(place: &Place, name: &str) -> bool {
    place.value["type"] == name
}

fn compare(path: &str, shape: &Shape, places: &[Place]) {
    assert!(!places.is_empty(), "{path} is not in the document");
    for place in places {
        let value = &place.value;
        match shape {
            Shape::Scalar(Scalar::Text) => {
                let is_open =
                    value["type"].is_null() || value["enum"].is_null() && has_type(place, "string");
                assert!(is_open && value["format"] != "date-time", "{path}: {value}");
            }
            Shape::Scalar(Scalar::Number) => {
                assert!(
                    has_type(place, "number") || has_type(place, "integer"),
                    "{path}: {value}"
                );
            }
            Shape::Scalar(Scalar::DateTime) => assert_eq!(value["format"], "date-time", "{path}"),
            Shape::Scalar(Scalar::Boolean) => {
                assert!(has_type(place, "boolean"), "{path}: {value}");
            }
            Shape::Scalar(Scalar::Enumeration(names)) => {
                let listed = value["enum"].as_array().cloned();
                let listed = listed.unwrap_or_else(|| vec![value["const"].clone()]);
                assert_eq!(listed, *names, "{path}");
            }
            Shape::List(element) => {
                assert!(has_type(place, "array"), "{path}: {value}");
                compare(
                    &format!("{path}/[]"),
                    element,
                    &self::places(&place.file, &value["items"]),
                );
            }
            Shape::Map(inner) => match &value["additionalProperties"] {
                Value::Bool(true) => {
                    assert!(matches!(inner, Shape::Scalar(Scalar::Text)), "{path}");
                }
                Value::Null => panic!("{path} is no map: {value}"),
                schema => compare(
                    &format!("{path}/*"),
                    inner,
                    &self::places(&place.file, schema),
                ),
            },
            Shape::Object(_) | Shape::Opaque => {
                assert!(has_type(place, "object"), "{path}: {value}");
            }
        }
    }
    if let Shape::Object(attributes) = shape {
        members(path, attributes, places);
    }
}

fn members(path: &str, attributes: &[Attribute], places: &[Place]) {
    for place in places {
        let Some(properties) = place.value["properties"].as_object() else {
            continue;
        };
        for name in properties.keys() {
            assert!(
                attributes.iter().any(|one| one.name == name),
                "{path}/{name} is not described"
            );
        }
    }
    for attribute in attributes {
        let path = format!("{path}/{}", attribute.name);
        let with: Vec<&Place> = places
            .iter()
            .filter(|place| place.value["properties"].get(attribute.name).is_some())
            .collect();
        let is_required = with.iter().any(|place| {
            let required = place.value["required"].as_array();
            required.is_some_and(|names| names.iter().any(|name| name == attribute.name))
        });
        // Required under a condition; the document can only say optional.
        let is_conditional = [
            "AppInstanceInfo/instantiatedAppState",
            "AppLcmOpOcc/cancelMode",
            "AppLcmOpOcc/error",
        ];
        let expected = is_required || is_conditional.contains(&path.as_str());
        assert_eq!(attribute.presence == Presence::Required, expected, "{path}");
        if attribute.presence == Presence::LeftOutByDefault {
            assert!(
                attribute.is_left_out(),
                "{path} is simple and cannot be left out"
            );
        }
        let found: Vec<Place> = with
            .iter()
            .flat_map(|place| self::places(&place.file, &place.value["properties"][attribute.name]))
            .collect();
        compare(&path, &attribute.shape, &found);
    }
}

fn check(file: &str, schema: &ListSchema) {
    let pointer = format!("#/components/schemas/{}", schema.name);
    let found = places(file, &serde_json::json!({ "$ref": pointer }));
    compare(schema.name, &Shape::Object(schema.attributes), &found);
}

#[test]
fn packages_are_described_as_the_document_has_them() {
    check(PACKAGES, &APP_PACKAGES);
}

#[test]
fn instances_are_described_as_the_document_has_them() {
    check(LIFECYCLE, &APP_INSTANCES);
}

#[test]
fn operations_are_described_as_the_document_has_them() {
    check(LIFECYCLE, &APP_LCM_OP_OCCS);
}

#[test]
fn the_lists_are_of_the_types_that_their_paths_answer() {
    for (file, path, schema) in [
        (PACKAGES, "/app_packages", &APP_PACKAGES),
        (PACKAGES, "/onboarded_app_packages", &APP_PACKAGES),
        (LIFECYCLE, "/app_instances", &APP_INSTANCES),
        (LIFECYCLE, "/app_lcm_op_occs", &APP_LCM_OP_OCCS),
    ] {
        let answer = &read(file)["paths"][path]["get"]["responses"]["200"];
        let items = &answer["content"]["application/json"]["schema"]["items"]["$ref"];
        assert_eq!(items, &format!("#/components/schemas/{}", schema.name));
    }
}

/// Every path of a schema, and whether selectors may name it.
fn paths(prefix: &str, attributes: &'static [Attribute], into: &mut Vec<(String, bool)>) {
    for attribute in attributes {
        let path = format!("{prefix}{}", attribute.name);
        if let Some(inner) = attribute.shape.attributes() {
            paths(&format!("{path}/"), inner, into);
        }
        into.push((path, attribute.is_selectable()));
    }
}

#[test]
fn every_attribute_is_within_the_bounds() {
    for schema in [&APP_PACKAGES, &APP_INSTANCES, &APP_LCM_OP_OCCS] {
        let mut all = Vec::new();
        paths("", schema.attributes, &mut all);
        assert!(
            all.iter()
                .all(|(path, _)| path.split('/').count() * 2 <= PATH_SEGMENTS)
        );
        let selectable: Vec<String> = all
            .into_iter()
            .filter_map(|(path, is_selectable)| is_selectable.then_some(path))
            .collect();
        assert!(!selectable.is_empty() && selectable.len() <= super::super::SELECTORS);
        assert!(
            selectable.join(",").len() <= SELECTOR_BYTES,
            "{}",
            selectable.join(",")
        );
    }
}

#[test]
fn the_examples_of_the_documents_can_be_filtered_and_keep_what_is_required() {
    for (file, schema, filter) in [
        (
            PACKAGES,
            &APP_PACKAGES,
            "(eq,onboardingState,ONBOARDED);(cont,appName,camera)",
        ),
        (
            LIFECYCLE,
            &APP_INSTANCES,
            "(eq,instantiatedAppState/operationalState,STARTED)",
        ),
        (LIFECYCLE, &APP_LCM_OP_OCCS, "(gt,startTime/seconds,1)"),
    ] {
        let document = read(file);
        let described = &document["components"]["schemas"][schema.name];
        let value = described["examples"][0].clone();
        let rows = [super::Row {
            id: "1".to_owned(),
            value,
        }];
        let page =
            super::super::list(schema, &super::filtered(filter), rows, "/", &super::key()).unwrap();
        let [item] = page.items.as_slice() else {
            panic!("{} does not match", schema.name)
        };
        for name in described["required"].as_array().unwrap() {
            assert!(item.get(name.as_str().unwrap()).is_some(), "{name} is gone");
        }
    }
}
