//! Schemas, recursively.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Comparison, members};
use crate::document::{Library, Place, escaped};

/// What counts of a schema, with `allOf` merged and what goes without saying filled in.
#[derive(Default)]
struct Facts<'a> {
    types: BTreeSet<&'a str>,
    format: Option<&'a str>,
    values: BTreeSet<String>,
    required: BTreeSet<&'a str>,
    properties: BTreeMap<&'a str, Place<'a>>,
    items: Option<Place<'a>>,
    /// `oneOf` and `anyOf` alike: ETSI's files have neither, so how many may fit is never a fact of theirs.
    alternatives: Vec<Place<'a>>,
    least_items: u64,
    additional: Option<Place<'a>>,
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    list.iter().filter_map(Value::as_str)
}

impl<'a> Facts<'a> {
    fn read(&mut self, library: &'a Library, schema: Place<'a>) -> anyhow::Result<()> {
        let value = schema.value;
        self.types
            .extend(strings(value.get("type")).filter(|name| *name != "null"));
        self.format = value.get("format").and_then(Value::as_str).or(self.format);
        let values = value.get("enum").and_then(Value::as_array);
        let values = values.into_iter().flatten().chain(value.get("const"));
        self.values
            .extend(values.filter(|it| !it.is_null()).map(Value::to_string));
        self.required.extend(strings(value.get("required")));
        self.properties.extend(members(schema.get("properties")));
        self.items = schema.get("items").or(self.items);
        self.least_items = value
            .get("minItems")
            .and_then(Value::as_u64)
            .unwrap_or(self.least_items);
        // `true` is what goes without saying.
        self.additional = schema
            .get("additionalProperties")
            .filter(|it| it.value != &Value::Bool(true))
            .or(self.additional);
        for list in ["oneOf", "anyOf"] {
            let variants = value
                .get(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let variants = variants.filter(|it| it.get("type").is_none_or(|name| name != "null"));
            self.alternatives.extend(variants.map(|it| schema.at(it)));
        }
        for part in value
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.read(library, library.resolve(schema.at(part))?)?;
        }
        Ok(())
    }

    fn of(library: &'a Library, schema: Place<'a>) -> anyhow::Result<Self> {
        let mut facts = Self::default();
        facts.read(library, schema)?;
        if facts.types.is_empty() {
            if !facts.properties.is_empty() {
                facts.types.insert("object");
            } else if facts.items.is_some() {
                facts.types.insert("array");
            } else if facts.values.iter().any(|it| it.starts_with('"')) {
                facts.types.insert("string");
            }
        }
        Ok(facts)
    }
}

impl<'a> Comparison<'a> {
    pub(super) fn schema(
        &mut self,
        ours: Place<'a>,
        theirs: Place<'a>,
        place: &str,
    ) -> anyhow::Result<()> {
        let ours = self.follow(self.ours, ours)?;
        let theirs = self.follow(self.theirs, theirs)?;
        // Two named schemas are compared once, under ETSI's name; what one side says in place is of that place.
        let place = match (ours.pointer, theirs.pointer) {
            (Some(mine), Some(name)) => {
                let mine = format!("{}#{mine}", ours.document);
                if !self.seen.insert((mine, name.to_owned())) {
                    return Ok(());
                }
                name.to_owned()
            }
            _ => place.to_owned(),
        };
        let (mine, expected) = (Facts::of(self.ours, ours)?, Facts::of(self.theirs, theirs)?);
        self.one_by_one(&mine, &expected, &place);
        let keyed = |facts: &Facts<'a>| {
            let properties = facts.properties.iter();
            properties
                .map(|(name, it)| ((*name).to_owned(), (*name, *it)))
                .collect()
        };
        let properties = format!("{place}/properties");
        for ((_, mine), (name, theirs)) in
            self.pair(&keyed(&mine), &keyed(&expected), &properties)?
        {
            self.schema(mine, theirs, &format!("{properties}/{}", escaped(name)))?;
        }
        self.both_or_neither(mine.items, expected.items, format!("{place}/items"))?;
        let additional = format!("{place}/additionalProperties");
        self.both_or_neither(mine.additional, expected.additional, additional)?;
        if mine.alternatives.len() != expected.alternatives.len() {
            let (ours, theirs) = (mine.alternatives.len(), expected.alternatives.len());
            let what = format!("ours has {ours} alternatives, ETSI's {theirs}");
            self.differ(format!("{place}/oneOf"), what);
        }
        for (index, variant) in mine.alternatives.iter().enumerate() {
            let here = format!("{place}/oneOf/{index}");
            if let Some(theirs) = expected.alternatives.get(index) {
                self.schema(*variant, *theirs, &here)?;
            } else {
                self.lone(
                    self.ours,
                    here,
                    "ETSI's does not have this alternative",
                    *variant,
                )?;
            }
        }
        for (index, variant) in expected
            .alternatives
            .iter()
            .enumerate()
            .skip(mine.alternatives.len())
        {
            let here = format!("{place}/oneOf/{index}");
            self.lone(
                self.theirs,
                here,
                "ours does not have this alternative",
                *variant,
            )?;
        }
        Ok(())
    }

    fn one_by_one(&mut self, mine: &Facts<'a>, expected: &Facts<'a>, place: &str) {
        if mine.types != expected.types {
            let what = format!("ours is {:?}, ETSI's {:?}", mine.types, expected.types);
            self.differ(format!("{place}/type"), what);
        }
        if mine.format != expected.format {
            let what = format!("ours is {:?}, ETSI's {:?}", mine.format, expected.format);
            self.differ(format!("{place}/format"), what);
        }
        if mine.least_items != expected.least_items {
            let what = format!(
                "ours is {}, ETSI's {}",
                mine.least_items, expected.least_items
            );
            self.differ(format!("{place}/minItems"), what);
        }
        for name in mine.required.difference(&expected.required) {
            let here = format!("{place}/required/{}", escaped(name));
            self.differ(here, "is required only in ours");
        }
        for name in expected.required.difference(&mine.required) {
            let here = format!("{place}/required/{}", escaped(name));
            self.differ(here, "is required only in ETSI's");
        }
        for value in mine.values.symmetric_difference(&expected.values) {
            let side = if mine.values.contains(value) {
                "ours"
            } else {
                "ETSI's"
            };
            let here = format!("{place}/enum/{}", escaped(value.trim_matches('"')));
            self.differ(here, format!("is a value only in {side}"));
        }
    }

    fn both_or_neither(
        &mut self,
        ours: Option<Place<'a>>,
        theirs: Option<Place<'a>>,
        place: String,
    ) -> anyhow::Result<()> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.schema(ours, theirs, &place),
            (Some(ours), None) => self.lone(self.ours, place, "ETSI's does not say", ours),
            (None, Some(theirs)) => self.lone(self.theirs, place, "ours does not say", theirs),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(ours: Value, theirs: Value) -> anyhow::Result<Vec<String>> {
        let document = |schema: Value| {
            json!({"paths": {"/a": {"get": {"responses": {"200": {"content":
                {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}}}}},
                "components": {"schemas": {"A": schema}}})
        };
        let ours = Library::of_one("ours", document(ours));
        let theirs = Library::of_one("theirs", document(theirs));
        let found = super::super::documents(&ours, "ours", &theirs, "theirs")?;
        Ok(found.into_iter().map(|it| it.place).collect())
    }

    #[test]
    fn the_same_said_in_another_way_is_no_difference() -> anyhow::Result<()> {
        let ours = json!({"allOf": [{"properties": {"a": {"enum": ["X"]}}}], "required": ["a"]});
        let theirs = json!({"type": "object", "required": ["a"], "description": "prose",
            "properties": {"a": {"type": ["string", "null"], "enum": ["X"]}}});
        assert!(places(ours, theirs)?.is_empty());
        Ok(())
    }

    #[test]
    fn each_fact_that_is_not_the_same_is_a_difference() -> anyhow::Result<()> {
        let ours = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "enum": ["X"]}, "b": {"type": "array", "items": {"type": "integer"}},
            "mine": {}}});
        let theirs = json!({"type": "object", "required": ["b"], "properties": {
            "a": {"type": "string", "enum": ["Y"], "format": "uri"},
            "b": {"type": "array", "minItems": 1, "items": {"type": "string"}}, "its": {}}});
        let expected = [
            "properties/a/enum/X",
            "properties/a/enum/Y",
            "properties/a/format",
            "properties/b/items/type",
            "properties/b/minItems",
            "properties/its",
            "properties/mine",
            "required/a",
            "required/b",
        ];
        assert_eq!(
            places(ours, theirs)?,
            expected.map(|it| format!("/components/schemas/A/{it}"))
        );
        Ok(())
    }
}
