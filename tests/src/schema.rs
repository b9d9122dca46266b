//! A small validator of JSON Schema: types, required, enum, properties, items, alternatives, bounds.
//!
//! What our documents use and no more; a published validator brings thirty crates.

use serde_json::Value;

use crate::document::{Library, Place};

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// Whether a value fits a schema; else what is wrong with it, from the outside in.
///
/// # Errors
/// Names the member and what does not fit.
pub fn fits(library: &Library, schema: Place, value: &Value) -> Result<(), String> {
    let schema = library.resolve(schema).map_err(|error| error.to_string())?;
    let types: Vec<_> = match schema.value.get("type") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one.as_str()],
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of_type(value, name)) {
        return Err(format!("{value} is not of type {types:?}"));
    }
    let values = schema.value.get("enum").and_then(Value::as_array);
    if values.is_some_and(|values| !values.contains(value))
        || schema.value.get("const").is_some_and(|only| only != value)
    {
        return Err(format!("{value} is not one of the listed values"));
    }
    numbers(schema.value, value)?;
    if let Some(members) = value.as_object() {
        object(library, schema, members)?;
    }
    let items = value.as_array().into_iter().flatten();
    for (item, schema) in items.filter_map(|item| Some((item, schema.get("items")?))) {
        fits(library, schema, item)?;
    }
    let list = |name| schema.value.get(name).and_then(Value::as_array);
    for part in list("allOf").into_iter().flatten() {
        fits(library, schema.at(part), value)?;
    }
    for (name, is_enough) in [("oneOf", 1..=1), ("anyOf", 1..=usize::MAX)] {
        let Some(variants) = list(name) else { continue };
        let tried = variants
            .iter()
            .map(|variant| fits(library, schema.at(variant), value));
        let fitting = tried.flatten().count();
        if !is_enough.contains(&fitting) {
            return Err(format!("{value} fits {fitting} alternatives of {name}"));
        }
    }
    Ok(())
}

fn numbers(schema: &Value, value: &Value) -> Result<(), String> {
    let bound = |name| schema.get(name).and_then(Value::as_f64);
    let length = value
        .as_array()
        .map(Vec::len)
        .or(value.as_str().map(str::len));
    let length = length.and_then(|it| u32::try_from(it).ok()).map(f64::from);
    let checks = [
        (value.as_f64(), "minimum", "maximum"),
        (length.filter(|_| value.is_array()), "minItems", "maxItems"),
        (
            length.filter(|_| value.is_string()),
            "minLength",
            "maxLength",
        ),
    ];
    for (number, least, most) in checks {
        if number.is_some_and(|it| {
            bound(least).is_some_and(|least| it < least)
                || bound(most).is_some_and(|most| it > most)
        }) {
            return Err(format!("{value} is outside {least} to {most}"));
        }
    }
    Ok(())
}

fn object(
    library: &Library,
    schema: Place,
    members: &serde_json::Map<String, Value>,
) -> Result<(), String> {
    let required = schema.value.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    let properties = schema.get("properties");
    let rest = schema.get("additionalProperties");
    for (name, value) in members {
        let known = properties.and_then(|all| all.get(name));
        if known.is_none() && rest.is_some_and(|it| it.value == &Value::Bool(false)) {
            return Err(format!("{name} is not in the schema"));
        }
        if let Some(schema) = known.or(rest.filter(|it| it.value.is_object())) {
            fits(library, schema, value).map_err(|what| format!("{name}: {what}"))?;
        }
    }
    Ok(())
}
