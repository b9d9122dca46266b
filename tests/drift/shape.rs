//! What every document of ours must have, whatever it describes.

use std::collections::BTreeSet;

use serde_json::Value;
use umec_tests::document::Document;

use crate::compare::METHODS;

/// Paths that a caller reaches before it has a token.
const PUBLIC: [&str; 3] = ["/token", "/healthz", "/readyz"];

/// What is wrong with `document`, a line each.
pub fn faults(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let root = &document.root;
    let mut fault = |what: String| faults.push(format!("{}: {what}", document.name));
    if !document
        .text("openapi")
        .is_some_and(|version| version.starts_with("3.1."))
    {
        fault("openapi is not 3.1".into());
    }
    for member in ["/info/title", "/info/version"] {
        if root.pointer(member).and_then(Value::as_str).is_none() {
            fault(format!("{member} is missing"));
        }
    }
    if document.name.starts_with("mec") && document.text("x-source").is_none() {
        fault("x-source is missing: say which of ETSI's files it is compared with".into());
    }
    let Some(paths) = root.get("paths").and_then(Value::as_object) else {
        fault("it has no paths".into());
        return faults;
    };
    for (path, item) in paths {
        for (method, operation) in METHODS.iter().filter_map(|it| Some((it, item.get(it)?))) {
            for what in lacks(root, path, operation) {
                fault(format!("{method} {path}: {what}"));
            }
        }
    }
    faults.extend(misnamed(document));
    faults
}

/// The operations of `document` without a name of their own, a line each.
pub fn misnamed(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    let paths = document.root.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in METHODS.iter().filter_map(|it| Some((it, item.get(it)?))) {
            let id = operation
                .get("operationId")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let is_camel_case = id.starts_with(|first: char| first.is_ascii_lowercase())
                && id.chars().all(|it| it.is_ascii_alphanumeric());
            if !is_camel_case || !ids.insert(id) {
                faults.push(format!(
                    "{}: {method} {path}: operationId {id:?} is not camelCase or not the only one",
                    document.name
                ));
            }
        }
    }
    faults
}

fn lacks(root: &Value, path: &str, operation: &Value) -> Vec<String> {
    let is_empty = |member: &str| match operation.get(member) {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        _ => true,
    };
    let mut lacks: Vec<_> = ["tags", "summary", "responses"]
        .into_iter()
        .filter(|member| is_empty(member))
        .map(|member| format!("{member} is missing"))
        .collect();
    let security = operation.get("security").or(root.get("security"));
    let is_guarded = security
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if !is_guarded && !PUBLIC.contains(&path) {
        lacks.push("security is missing".into());
    }
    let answers = operation.get("responses").and_then(Value::as_object);
    for (status, answer) in answers.into_iter().flatten() {
        let content = answer.get("content").and_then(Value::as_object);
        for (media, _) in content
            .into_iter()
            .flatten()
            .filter(|(_, it)| it.get("schema").is_none())
        {
            lacks.push(format!("answer {status} as {media} has no schema"));
        }
    }
    lacks
}

#[test]
fn an_operation_without_security_is_named() {
    let root = serde_json::json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {"operationId": "getA", "tags": ["a"], "summary": "s",
            "responses": {"204": {"description": "d"}}}}}});
    let name = "x.yaml".into();
    assert_eq!(
        faults(&Document { name, root }),
        ["x.yaml: get /a: security is missing"]
    );
}

#[test]
fn two_operations_of_one_name_are_named() {
    let root = serde_json::json!({"paths": {"/a": {"get": {"operationId": "status"}},
        "/b": {"get": {"operationId": "status"}, "put": {"operationId": "put_it"}}}});
    let name = "x.yaml".into();
    assert_eq!(
        misnamed(&Document { name, root }),
        [
            "x.yaml: get /b: operationId \"status\" is not camelCase or not the only one",
            "x.yaml: put /b: operationId \"put_it\" is not camelCase or not the only one"
        ]
    );
}
