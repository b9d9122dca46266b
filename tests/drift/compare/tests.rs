//! Paths and operations; schemas have their own tests.

use serde_json::json;

use super::*;

fn places(ours: &Value, theirs: &Value) -> anyhow::Result<Vec<String>> {
    let ours = Library::of_one("ours", json!({ "paths": ours }));
    let theirs = Library::of_one("theirs", json!({ "paths": theirs }));
    let found = documents(&ours, "ours", &theirs, "theirs")?;
    Ok(found.into_iter().map(|it| it.place).collect())
}

#[test]
fn a_parameter_in_a_path_may_have_another_name_and_stand_above_the_method() -> anyhow::Result<()> {
    let named = |name| json!([{"name": name, "in": "path", "required": true, "schema": {"type": "string"}}]);
    let ours = json!({"/a/{id}": {"parameters": named("id"), "get": {"responses": {"204": {}}}}});
    let theirs =
        json!({"/a/{aId}": {"get": {"parameters": named("aId"), "responses": {"204": {}}}}});
    assert!(places(&ours, &theirs)?.is_empty());
    Ok(())
}

#[test]
fn what_only_one_document_has_is_a_difference() -> anyhow::Result<()> {
    let body = |media: &str| json!({"content": {media: {"schema": {"type": "string"}}}});
    let ours = json!({"/mine": {}, "/x": {"x-etsi-path": "/a",
        "get": {"responses": {"200": body("text/plain"), "404": {}}},
        "put": {"parameters": [{"name": "q", "in": "query", "required": true, "schema": {"type": "integer"}}],
            "requestBody": body("text/plain"), "responses": {}}}});
    let theirs = json!({"/its": {}, "/a": {
        "get": {"responses": {"200": body("application/json")}, "callbacks": {}},
        "put": {"parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}], "responses": {}},
        "delete": {}}});
    let expected = [
        "/paths/~1a/delete",
        "/paths/~1a/get/callbacks",
        "/paths/~1a/get/responses/200/content/application~1json",
        "/paths/~1a/get/responses/200/content/text~1plain",
        "/paths/~1a/get/responses/404",
        "/paths/~1a/put/parameters/q/required",
        "/paths/~1a/put/parameters/q/schema/type",
        "/paths/~1a/put/requestBody",
        "/paths/~1its",
        "/paths/~1mine",
    ];
    assert_eq!(places(&ours, &theirs)?, expected);
    Ok(())
}
