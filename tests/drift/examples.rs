//! Every example fits its schema.

use serde_json::Value;

use umec_tests::document::{Document, Library, escaped};
use umec_tests::schema::fits;

/// What is wrong with the examples of `document`, a line each.
pub fn faults(library: &Library, document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let Ok(root) = library.root(&document.name) else {
        return faults;
    };
    let schemas = document
        .root
        .pointer("/components/schemas")
        .and_then(Value::as_object);
    for (name, schema) in schemas.into_iter().flatten() {
        if !has_example(schema) {
            let place = format!("/components/schemas/{}", escaped(name));
            faults.push(format!("{}: {place} has no example", document.name));
        }
    }
    let mut open = vec![(String::new(), root)];
    while let Some((pointer, at)) = open.pop() {
        // A media type or parameter has its schema beside the example; a schema is its own.
        let schema = at.get("schema").unwrap_or(at);
        for example in examples(at.value) {
            if let Err(what) = fits(library, schema, example) {
                faults.push(format!("{}: example at {pointer}: {what}", document.name));
            }
        }
        match at.value {
            Value::Object(members) => {
                for (name, value) in members {
                    // A property may be called "example"; an example may look like anything.
                    let is_example = matches!(name.as_str(), "example" | "examples" | "default")
                        && !pointer.ends_with("/properties");
                    if !is_example && !name.starts_with("x-") {
                        open.push((format!("{pointer}/{}", escaped(name)), at.at(value)));
                    }
                }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                open.extend(items.map(|(index, it)| (format!("{pointer}/{index}"), at.at(it))));
            }
            _ => {}
        }
    }
    faults
}

/// A schema whose values are listed is its own example, and one that only refers has its target's.
fn has_example(schema: &Value) -> bool {
    ["example", "examples", "enum", "const", "$ref"]
        .iter()
        .any(|member| schema.get(member).is_some())
}

/// A schema's `examples` is a list, a media type's a map of `{value}`; `example` is one in both.
fn examples(at: &Value) -> Vec<&Value> {
    let is_described = [
        "schema",
        "type",
        "properties",
        "oneOf",
        "anyOf",
        "allOf",
        "$ref",
        "items",
    ]
    .iter()
    .any(|member| at.get(member).is_some());
    if !is_described {
        return Vec::new();
    }
    let mut all: Vec<_> = at.get("example").into_iter().collect();
    match at.get("examples") {
        Some(Value::Array(list)) => all.extend(list),
        Some(Value::Object(map)) if at.get("schema").is_some() => {
            all.extend(map.values().filter_map(|it| it.get("value")));
        }
        _ => {}
    }
    all
}

#[test]
fn an_example_that_does_not_fit_and_a_schema_without_one_are_named() {
    let root = serde_json::json!({"components": {"schemas": {
        "A": {"type": "object", "required": ["a"], "examples": [{"a": "X"}, {"a": "Y"}, {}],
            "properties": {"a": {"enum": ["X"]}}},
        "B": {"type": "object"}}}});
    let library = Library::of_one("x.yaml", root);
    let found: Vec<_> = library
        .documents()
        .flat_map(|it| faults(&library, it))
        .collect();
    let expected = ["B has no example", "not one of the listed", "a is missing"];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for what in expected {
        assert!(
            found.iter().any(|it| it.contains(what)),
            "{what}: {found:?}"
        );
    }
}
