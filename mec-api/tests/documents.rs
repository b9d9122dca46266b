//! The documents that are served need nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use serde_json::Value;

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" || target.contains("#/components/") => {
                        found.push(target);
                    }
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_a_document_leads_into_itself() {
    for document in mec_api::documents() {
        let root: Value = serde_saphyr::from_str(document.text).unwrap();
        assert_eq!(root["openapi"], "3.1.0", "{}", document.name);
        let mut found = Vec::new();
        references(&root, &mut found);
        assert!(!found.is_empty(), "{} refers to nothing", document.name);
        for reference in found {
            let target = reference.strip_prefix('#').and_then(|it| root.pointer(it));
            assert!(target.is_some(), "{}: {reference}", document.name);
        }
    }
}

#[test]
fn what_is_only_for_this_repository_is_not_served() {
    for document in mec_api::documents() {
        for internal in ["x-deviations", "x-source", "x-etsi-path"] {
            assert!(!document.text.contains(internal), "{}", document.name);
        }
    }
}

#[test]
fn every_router_begins_where_its_document_does() {
    let bases = [
        ("mec011-app-support.yaml", mec_api::app_support::BASE),
        (
            "mec011-service-management.yaml",
            mec_api::service_management::BASE,
        ),
        (
            "mec010-2-package-management.yaml",
            mec_api::package_management::BASE,
        ),
        ("mec010-2-lifecycle.yaml", mec_api::lifecycle::BASE),
        ("mec015-bandwidth.yaml", mec_api::bandwidth::BASE),
    ];
    for (name, base) in bases {
        let document = mec_api::documents().iter().find(|it| it.name == name);
        let root: Value = serde_saphyr::from_str(document.unwrap().text).unwrap();
        assert_eq!(root["servers"][0]["url"], base);
    }
}
