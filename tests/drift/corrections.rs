//! Applies corrections.yaml to a machine-generated document of ETSI's.
//!
//! Most entries are data. Some say what to set in words; those words are known here one by one, and an entry in other
//! words is an error, so that nothing is left uncorrected in silence.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::compare::METHODS;

/// `raw`, which is `file` of ETSI's folder, as it ought to be.
pub fn apply(corrections: &Value, file: &str, raw: Value) -> anyhow::Result<Value> {
    let mut document = raw;
    empty_bodies(&mut document);
    if unwraps(corrections, file)? {
        unwrap_bodies(&mut document);
    }
    let of_file = |section| {
        let entries = corrections.get(section).and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        entries.filter(|entry| entry.get("file").is_some_and(|it| it == file))
    };
    let enums = corrections.pointer(&format!("/enums/{}", file.replace('/', "~1")));
    for (place, values) in enums.and_then(Value::as_object).into_iter().flatten() {
        set_enum(&mut document, place, values).with_context(|| format!("enum of {place}"))?;
    }
    for entry in of_file("responses").chain(of_file("types")) {
        correct(&mut document, entry).with_context(|| format!("correction {entry}"))?;
    }
    Ok(document)
}

/// An object that has no properties and a media type without schema are the generator's way to say "no body".
fn empty_bodies(document: &mut Value) {
    for_each_body(document, &mut |body| {
        let is_empty = |media: &Value| match media.get("schema") {
            Some(schema) => schema
                .get("properties")
                .and_then(Value::as_object)
                .is_some_and(serde_json::Map::is_empty),
            None => true,
        };
        let content = body.get("content").and_then(Value::as_object);
        if content.is_some_and(|content| content.values().all(is_empty))
            && let Some(body) = body.as_object_mut()
        {
            body.remove("content");
        }
    });
}

fn unwraps(corrections: &Value, file: &str) -> anyhow::Result<bool> {
    let general = corrections.get("general").and_then(Value::as_array);
    let entry = general
        .into_iter()
        .flatten()
        .find(|entry| entry.get("id").is_some_and(|id| id == "unwrap-json-bodies"))
        .context("corrections.yaml has no general rule unwrap-json-bodies")?;
    let not_for = entry.get("not_for").and_then(Value::as_array);
    Ok(!not_for
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|it| file.starts_with(it)))
}

/// A JSON body is what the one property of its schema is: JSON has no root element on the wire.
fn unwrap_bodies(document: &mut Value) {
    for_each_body(document, &mut |body| {
        let schema = body.pointer_mut("/content/application~1json/schema");
        let Some(schema) = schema else { return };
        let inner = schema.get("properties").and_then(Value::as_object);
        let inner = inner
            .filter(|all| all.len() == 1)
            .and_then(|all| all.values().next());
        if let Some(inner) = inner.cloned() {
            *schema = inner;
        }
    });
}

/// Every request body and answer, in operations and in their callbacks.
fn for_each_body(document: &mut Value, change: &mut impl FnMut(&mut Value)) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for item in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        for_each_body_of(item, change);
    }
}

fn for_each_body_of(item: &mut Value, change: &mut impl FnMut(&mut Value)) {
    for method in METHODS {
        let Some(operation) = item.get_mut(method) else {
            continue;
        };
        if let Some(body) = operation.get_mut("requestBody") {
            change(body);
        }
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        responses
            .into_iter()
            .flat_map(|all| all.values_mut())
            .for_each(&mut *change);
        let callbacks = operation
            .get_mut("callbacks")
            .and_then(Value::as_object_mut);
        for callback in callbacks.into_iter().flat_map(|all| all.values_mut()) {
            for item in callback
                .as_object_mut()
                .into_iter()
                .flat_map(|all| all.values_mut())
            {
                for_each_body_of(item, change);
            }
        }
    }
}

fn at<'a>(document: &'a mut Value, pointer: &str) -> anyhow::Result<&'a mut Value> {
    document
        .pointer_mut(pointer)
        .with_context(|| format!("ETSI's file has nothing at {pointer}"))
}

fn set(document: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    let (parent, member) = pointer.rsplit_once('/').context("a pointer has a /")?;
    let parent = at(document, parent)?.as_object_mut();
    parent
        .context("is no object")?
        .insert(member.to_owned(), value);
    Ok(())
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn one_of(schemas: &[&str]) -> Value {
    json!({"oneOf": schemas.iter().map(|it| reference(it)).collect::<Vec<_>>()})
}

/// What the words about a body mean.
fn body(words: &str) -> anyhow::Result<Value> {
    let binary = || json!({"schema": {"type": "string", "format": "binary"}});
    Ok(match words {
        "no body" => json!({}),
        "ProblemDetails" => {
            json!({"content": {"application/problem+json": {"schema": reference(words)}}})
        }
        "application/zip binary" | "application/zip binary range" => {
            json!({"content": {"application/zip": binary()}})
        }
        "text/plain or application/zip, chosen by Accept" => json!({"content": {
            "text/plain": {"schema": {"type": "string"}}, "application/zip": binary()}}),
        _ => bail!("it is not known here what a body \"{words}\" is: teach corrections.rs"),
    })
}

fn correct(document: &mut Value, entry: &Value) -> anyhow::Result<()> {
    let words = |member| entry.get(member).and_then(Value::as_str);
    let Some(pointer) = words("pointer") else {
        let operation = words("op").context("neither pointer nor op")?;
        return match words("set") {
            Some(text) => correct_subscriptions(document, operation, text),
            None => correct_bodies(document, operation, entry),
        };
    };
    match entry.get("set").context("nothing to set")? {
        Value::String(text) => correct_in_words(document, pointer, text)?,
        value => set(document, pointer, value.clone())?,
    }
    if let Some(also) = words("also") {
        let names = also
            .strip_prefix("drop ")
            .and_then(|rest| rest.strip_suffix(" from required"))
            .with_context(|| format!("it is not known here what \"{also}\" means"))?;
        let (schema, _) = pointer.split_once("/properties").context("no property")?;
        let required = at(document, &format!("{schema}/required"))?;
        let names: Vec<_> = names.split(", ").collect();
        let list = required.as_array_mut().context("required is no list")?;
        list.retain(|it| it.as_str().is_none_or(|it| !names.contains(&it)));
    }
    Ok(())
}

fn correct_bodies(document: &mut Value, operation: &str, entry: &Value) -> anyhow::Result<()> {
    let (method, path) = operation.split_once(' ').context("an op is METHOD PATH")?;
    let operation = format!(
        "/paths/{}/{}",
        path.replace('/', "~1"),
        method.to_lowercase()
    );
    let responses = entry
        .get("add")
        .or(entry.get("set"))
        .and_then(Value::as_object);
    for (status, words) in responses.into_iter().flatten() {
        let answer = words.as_str().context("an answer is said in words")?;
        let answer = match answer {
            // The updated resource has the schema of the request.
            "the updated subscription" => {
                let request = at(document, &format!("{operation}/requestBody/content"))?;
                json!({ "content": request.clone() })
            }
            _ => body(answer)?,
        };
        set(document, &format!("{operation}/responses/{status}"), answer)?;
    }
    if let Some(words) = entry.get("set_request").and_then(Value::as_str) {
        let mut request = body(words)?;
        if let Some(required) = at(document, &format!("{operation}/requestBody"))?.get("required") {
            set(&mut request, "/required", required.clone())?;
        }
        set(document, &format!("{operation}/requestBody"), request)?;
    }
    ensure!(
        responses.is_some() || entry.get("set_request").is_some(),
        "it changes nothing"
    );
    Ok(())
}

/// MEC 010-2: the four kinds of subscriptions share one resource.
fn correct_subscriptions(document: &mut Value, operation: &str, text: &str) -> anyhow::Result<()> {
    ensure!(
        operation == "POST|GET /subscriptions" && text.contains("four subscription kinds"),
        "it is not known here what \"{text}\" means: teach corrections.rs"
    );
    let kinds = |ending: &str| -> anyhow::Result<Value> {
        let schemas = at(&mut document.clone(), "/components/schemas")?.clone();
        let schemas = schemas.as_object().context("schemas is no object")?;
        let starts = [
            "AppInst",
            "AppLcmOpOcc",
            "AppInstIdCreation",
            "AppInstIdDeletion",
        ];
        let names = starts.map(|start| format!("{start}Subscription{ending}"));
        for name in &names {
            ensure!(
                schemas.contains_key(name),
                "ETSI's file has no schema {name}"
            );
        }
        Ok(one_of(&names.each_ref().map(String::as_str)))
    };
    let (requests, answers) = (kinds("Request")?, kinds("Info")?);
    let post = "/paths/~1subscriptions/post";
    let json = "content/application~1json/schema";
    *at(document, &format!("{post}/requestBody/{json}"))? = requests;
    *at(document, &format!("{post}/responses/201/{json}"))? = answers.clone();
    *at(
        document,
        &format!("/paths/~1subscriptions~1{{subscriptionId}}/get/responses/200/{json}"),
    )? = answers;
    Ok(())
}

fn correct_in_words(document: &mut Value, pointer: &str, text: &str) -> anyhow::Result<()> {
    if text.starts_with("every property is a scalar") || text.starts_with("ptpMasterIpAddress") {
        let properties = at(document, pointer)?.as_object_mut();
        for property in properties.context("is no object")?.values_mut() {
            let items = property.get("items").context("is no array")?.clone();
            *property = items;
        }
        return Ok(());
    }
    match text {
        "DestinationInterface or array of 1..2 DestinationInterface (two for DUPLICATE_*)" => {
            let one = reference("DestinationInterface");
            let list = json!({"type": "array", "minItems": 1, "maxItems": 2, "items": one});
            set(document, pointer, json!({"oneOf": [one, list]}))
        }
        "oneOf InstantiateAppRequest | OperateAppRequest | TerminateAppRequest, by lcmOperation" => {
            let kinds = [
                "InstantiateAppRequest",
                "OperateAppRequest",
                "TerminateAppRequest",
            ];
            set(document, pointer, one_of(&kinds))
        }
        "attribute is spelt cancelMode in the tests; accept both spellings" => {
            let (properties, _) = pointer.rsplit_once('/').context("a pointer has a /")?;
            let old = at(document, pointer)?.clone();
            set(document, &format!("{properties}/cancelMode"), old)?;
            // Either spelling will do, so neither is required.
            let schema = properties.trim_end_matches("/properties");
            let required = at(document, &format!("{schema}/required"))?.as_array_mut();
            required
                .context("required is no list")?
                .retain(|it| it != "CancelMode");
            Ok(())
        }
        // The path is paired by `x-etsi-path` in our document.
        "placeholder: real URI is whatever _links.liveness.href says" => {
            at(document, pointer).map(drop)
        }
        _ => bail!("it is not known here what \"{text}\" means: teach corrections.rs"),
    }
}

/// `place` is SCHEMA/PROPERTY, or SCHEMA/PROPERTY/items.
fn set_enum(document: &mut Value, place: &str, values: &Value) -> anyhow::Result<()> {
    let (schema, property) = place.split_once('/').context("no property")?;
    let schema = at(
        document,
        &format!("/components/schemas/{schema}/properties/{property}"),
    )?;
    if let Some(items) = schema
        .get_mut("items")
        .filter(|_| !place.ends_with("/items"))
    {
        return set_values(items, values);
    }
    set_values(schema, values)
}

fn set_values(schema: &mut Value, values: &Value) -> anyhow::Result<()> {
    let members = schema.as_object_mut().context("is no schema")?;
    match values {
        Value::Array(_) => {
            members.insert("enum".into(), values.clone());
        }
        Value::String(words) if words.starts_with("any string") => {
            members.remove("enum");
            members.insert("type".into(), json!("string"));
        }
        _ => bail!("it is not known here what {values} means: teach corrections.rs"),
    }
    Ok(())
}

#[test]
fn a_correction_in_words_that_nobody_taught_us_is_refused() {
    let corrections = json!({"general": [{"id": "unwrap-json-bodies"}], "types":
        [{"file": "a.yaml", "pointer": "/a/b", "set": "something better"}]});
    let refusal = apply(&corrections, "a.yaml", json!({"a": {"b": 1}}));
    assert!(format!("{:?}", refusal.err()).contains("something better"));
}

#[test]
fn bodies_are_unwrapped_and_empty_ones_taken_away() -> anyhow::Result<()> {
    let media = |schema: Value| json!({"content": {"application/json": {"schema": schema}}});
    let paths = |first: Value, second: Value| json!({"paths": {"/a": {"post": {"responses": {"200": first, "204": second}}}}});
    let corrections = json!({"general": [{"id": "unwrap-json-bodies"}]});
    let wrapped = media(json!({"type": "object", "properties": {"A": {"$ref": "#/a"}}}));
    let raw = paths(wrapped, media(json!({"type": "object", "properties": {}})));
    let corrected = apply(&corrections, "a.yaml", raw)?;
    assert_eq!(corrected, paths(media(json!({"$ref": "#/a"})), json!({})));
    Ok(())
}
