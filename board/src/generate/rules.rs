//! What schemas say beyond the type: bounds, lengths, forms and combinations.

use anyhow::{Context, bail, ensure};

use super::model::{Rule, Type};
use super::node::Node;

/// A whole number: the type in Rust that just holds it, and what that type does not say.
pub fn integer(schema: &Node) -> anyhow::Result<(Type, Vec<Rule>)> {
    let known: Vec<i64> = schema
        .get("enum")
        .items()
        .iter()
        .filter_map(Node::integer)
        .collect();
    let bounds = |name: &str| schema.get(name).integer();
    let least = bounds("minimum").or_else(|| known.iter().min().copied());
    let most = bounds("maximum").or_else(|| known.iter().max().copied());
    let unsigned = least.is_some_and(|least| least >= 0);
    let wide = match schema.get("format").text() {
        Some("uint32") => ("u32", i64::from(u32::MAX)),
        Some("int32") => bail!("int32 is not supported"),
        _ if unsigned => ("u64", i64::MAX),
        _ => ("i64", i64::MAX),
    };
    let fitting = [("u8", 0xff), ("u16", 0xffff), ("u32", 0xffff_ffff)];
    let narrow = fitting
        .into_iter()
        .find(|(_, top)| unsigned && most.is_some_and(|most| most <= *top));
    let (name, top) = narrow.unwrap_or(wide);
    let bottom = if name == "i64" { i64::MIN } else { 0 };
    let mut rules = Vec::new();
    let (least, end) = (least.unwrap_or(bottom), most.unwrap_or(top));
    if !known.is_empty() {
        rules.push(Rule::OneOf(known));
    } else if least > bottom || end < top {
        let end = if most.is_some() {
            end.to_string()
        } else {
            format!("{name}::MAX")
        };
        rules.push(Rule::Range(least.to_string(), end));
    }
    Ok((Type::Integer(name), rules))
}

/// The bounds of a number.
pub fn number_rules(schema: &Node) -> Vec<Rule> {
    let bound = |name: &str| match schema.get(name) {
        Node::Integer(number) => Some(format!("{number}.0")),
        Node::Number(number) => Some(format!("{number:?}")),
        _ => None,
    };
    match (bound("minimum"), bound("maximum")) {
        (None, None) => Vec::new(),
        (least, most) => vec![Rule::Range(
            least.unwrap_or_else(|| "f64::MIN".to_owned()),
            most.unwrap_or_else(|| "f64::MAX".to_owned()),
        )],
    }
}

/// The length and the form of a text.
pub fn text_rules(schema: &Node) -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    let length = |name: &str| schema.get(name).integer();
    if let (Some(_), _) | (_, Some(_)) = (length("minLength"), length("maxLength")) {
        rules.push(Rule::Length(
            length("minLength").unwrap_or(0),
            length("maxLength"),
        ));
    }
    if let Some(pattern) = schema.get("pattern").text() {
        rules.push(
            digits(pattern).with_context(|| format!("write a check for the pattern {pattern}"))?,
        );
    }
    match schema.get("format").text() {
        None => {}
        Some("uri") => rules.push(Rule::Uri),
        Some("uri-reference") => rules.push(Rule::UriReference),
        Some("uuid") => rules.push(Rule::Uuid),
        Some(other) => bail!("write a check for the format {other}"),
    }
    Ok(rules)
}

/// `^[0-9]{1,15}$`
fn digits(pattern: &str) -> Option<Rule> {
    let bounds = pattern.strip_prefix("^[0-9]{")?.strip_suffix("}$")?;
    let (least, most) = bounds.split_once(',')?;
    Some(Rule::Digits(least.parse().ok()?, most.parse().ok()?))
}

/// The length of an array.
pub fn item_rules(schema: &Node) -> anyhow::Result<Vec<Rule>> {
    ensure!(
        !schema.get("uniqueItems").is_true(),
        "uniqueItems is not supported"
    );
    let bound = |name: &str| schema.get(name).integer();
    Ok(match (bound("minItems"), bound("maxItems")) {
        (None, None) => Vec::new(),
        (least, most) => vec![Rule::Items(least.unwrap_or(0), most)],
    })
}

/// The members of which one has to be there, from alternatives that require one each.
pub fn any_of(schema: &Node) -> anyhow::Result<Vec<String>> {
    let each = schema.get("anyOf").items().iter().map(|alternative| {
        match alternative.get("required").items() {
            [Node::Text(name)] if alternative.members().len() == 1 => Ok(name.clone()),
            _ => bail!("anyOf is supported for alternatives that require one member each"),
        }
    });
    each.collect()
}
