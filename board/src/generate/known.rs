//! What a document may say: everything else is refused, because it would be left out in silence.

use anyhow::ensure;

use super::node::Node;

const SCHEMA: [&str; 24] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "discriminator",
    "enum",
    "examples",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "uniqueItems",
    "x-enum-varnames",
];

const OPERATION: [&str; 9] = [
    "callbacks",
    "description",
    "operationId",
    "parameters",
    "requestBody",
    "responses",
    "security",
    "summary",
    "tags",
];

const PARAMETER: [&str; 7] = [
    "allowEmptyValue",
    "description",
    "example",
    "in",
    "name",
    "required",
    "schema",
];

/// # Errors
/// When a schema says something that does not become code.
pub fn schema(node: &Node) -> anyhow::Result<()> {
    only(node, &SCHEMA)
}

/// # Errors
/// When an operation says something that does not become code.
pub fn operation(node: &Node) -> anyhow::Result<()> {
    only(node, &OPERATION)
}

/// # Errors
/// When a parameter says something that does not become code: `style` and `explode` are as they are without them.
pub fn parameter(node: &Node) -> anyhow::Result<()> {
    only(node, &PARAMETER)
}

fn only(node: &Node, known: &[&str]) -> anyhow::Result<()> {
    for (name, _) in node.members() {
        ensure!(
            known.contains(&name.as_str()),
            "`{name}` is not known to the generator: teach it, or take it out of the document"
        );
    }
    Ok(())
}
