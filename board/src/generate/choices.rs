//! Enumerations and alternatives: which words there are and what tells objects apart.

use anyhow::{Context, ensure};

use super::library::Place;
use super::model::Named;
use super::names::pascal;
use super::node::Node;

/// The member that has fixed values in every alternative.
pub fn telling_member(variants: &[(Named, Place<'_>)]) -> Option<String> {
    let (_, first) = variants.first()?;
    let names = first
        .node
        .get("properties")
        .members()
        .iter()
        .map(|(name, _)| name);
    let tells = |name: &&String| {
        variants
            .iter()
            .all(|(_, schema)| !permitted(schema.node.get("properties").get(name)).is_empty())
    };
    names.into_iter().find(tells).cloned()
}

/// The words that a schema permits; none when it permits any.
pub fn permitted(schema: &Node) -> Vec<String> {
    let listed = schema
        .get("enum")
        .items()
        .iter()
        .chain([schema.get("const")]);
    listed.filter_map(Node::text).map(str::to_owned).collect()
}

/// What all names end with, from the beginning of a word.
pub fn common_ending(names: &[&str]) -> String {
    let first = names.first().copied().unwrap_or_default();
    let starts = first
        .char_indices()
        .skip(1)
        .filter(|(_, letter)| letter.is_uppercase());
    let endings = starts.filter_map(|(index, _)| first.get(index..));
    let fits = |ending: &&str| {
        names
            .iter()
            .all(|name| name.len() > ending.len() && name.ends_with(ending))
    };
    endings
        .into_iter()
        .find(fits)
        .unwrap_or_default()
        .to_owned()
}

/// Variants by their names in Rust, which `x-enum-varnames` may give.
pub fn variants(schema: &Node) -> anyhow::Result<Vec<(String, String)>> {
    let given = schema.get("x-enum-varnames").items();
    let each = schema
        .get("enum")
        .items()
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let wire = value
                .text()
                .context("a value of an enumeration is not text")?;
            let name = given
                .get(index)
                .and_then(Node::text)
                .map_or_else(|| pascal(wire), str::to_owned);
            ensure!(
                name.starts_with(char::is_alphabetic),
                "the value {wire} has no name in code: add x-enum-varnames"
            );
            Ok((name, wire.to_owned()))
        });
    each.collect()
}
