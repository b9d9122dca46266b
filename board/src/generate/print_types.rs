//! Types as text.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Field, Item, Kind, Module, Type, Variant};
use super::names::camel;
use super::prose::comment;

/// One file of types.
pub fn file(module: &Module, items: &[&Item], about: &str) -> String {
    let text: String = items.iter().map(|item| print(item)).collect();
    let own: BTreeSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
    comment("//!", 0, about) + "\n" + &imports(module, items, &own, &text) + &text
}

/// What the text needs from elsewhere.
fn imports(module: &Module, items: &[&Item], own: &BTreeSet<&str>, text: &str) -> String {
    let mut lines = String::new();
    if text.contains("BTreeMap<") {
        lines += "use std::collections::BTreeMap;\n\n";
    }
    if text.contains("derive(") {
        lines += "use serde::{Deserialize, Serialize};\n";
    }
    match (
        text.contains("Map<String, Value>"),
        text.contains("<Value>") || text.contains(": Value,"),
    ) {
        (true, _) => lines += "use serde_json::{Map, Value};\n",
        (false, true) => lines += "use serde_json::Value;\n",
        (false, false) => {}
    }
    lines.push('\n');
    if text.contains("OneOrMany<") {
        lines += "use crate::OneOrMany;\n";
    }
    lines += &named(module, own, items.iter().flat_map(|item| used(item)));
    if text.contains("kinds! {") {
        lines += "use crate::kinds::kinds;\n";
    }
    let macros = [("word! {", "word"), ("words! {", "words")];
    let macros: Vec<&str> = macros
        .iter()
        .filter(|(begin, _)| text.contains(&format!("\n{begin}")) || text.starts_with(begin))
        .map(|(_, name)| *name)
        .collect();
    if !macros.is_empty() {
        lines += &format!("use crate::words::{{{}}};\n", macros.join(", "));
    }
    lines + "\n"
}

/// The imports of named types, a line a module.
pub fn named<'a>(
    module: &Module,
    own: &BTreeSet<&str>,
    types: impl Iterator<Item = &'a super::model::Named>,
) -> String {
    let mut modules: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for named in types {
        if named.module != module.name || !own.contains(named.name.as_str()) {
            modules.entry(named.module).or_default().insert(&named.name);
        }
    }
    let mut lines = String::new();
    for (name, types) in modules {
        let path = if name == module.name {
            "super".to_owned()
        } else {
            format!("crate::{name}")
        };
        let types: Vec<&str> = types.into_iter().collect();
        lines += &format!("use {path}::{{{}}};\n", types.join(", "));
    }
    lines
}

/// The named types that an item is made of.
pub fn used(item: &Item) -> Vec<&super::model::Named> {
    match &item.kind {
        Kind::Struct { fields, .. } => fields
            .iter()
            .filter_map(|field| field.kind.named())
            .collect(),
        Kind::Union { variants, .. } => variants.iter().map(|variant| &variant.named).collect(),
        Kind::Alias(kind) => kind.named().into_iter().collect(),
        Kind::Words(_) | Kind::Word(_) => Vec::new(),
    }
}

fn print(item: &Item) -> String {
    let Item {
        name, about, kind, ..
    } = item;
    match kind {
        Kind::Struct { fields, .. } => structure(name, about, fields),
        Kind::Words(variants) => {
            let lines: String = variants
                .iter()
                .map(|(name, wire)| format!("        {name} = {wire:?},\n"))
                .collect();
            let about = comment("///", 4, about);
            format!("words! {{\n{about}    pub enum {name} {{\n{lines}    }}\n}}\n\n")
        }
        Kind::Word(value) => {
            let about = comment("///", 4, about);
            format!("word! {{\n{about}    pub struct {name} = {value:?};\n}}\n\n")
        }
        Kind::Union {
            member: Some(member),
            variants,
        } => {
            let lines: String = variants.iter().map(alternative).collect();
            let about = comment("///", 4, about);
            format!("kinds! {{\n{about}    pub enum {name} by {member:?} {{\n{lines}    }}\n}}\n\n")
        }
        Kind::Union {
            member: None,
            variants,
        } => {
            let lines = variants.iter().map(|variant| {
                let about = comment("///", 4, &format!("As {}.", variant.named.name));
                format!("{about}    {}({}),\n", variant.name, variant.named.name)
            });
            let lines: String = lines.collect();
            let about = comment("///", 0, about);
            let allowed = "#[allow(clippy::large_enum_variant, reason = \"made once a request, and soon gone\")]\n";
            format!(
                "{about}#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]\n#[serde(untagged)]\n{allowed}pub enum {name} {{\n{lines}}}\n\n"
            )
        }
        Kind::Alias(kind) => format!("{}pub type {name} = {kind};\n\n", comment("///", 0, about)),
    }
}

fn alternative(variant: &Variant) -> String {
    let words: Vec<String> = variant
        .words
        .iter()
        .map(|word| format!("{word:?}"))
        .collect();
    let about = comment("///", 8, &format!("As {}.", variant.named.name));
    format!(
        "{about}        {}({}) for {},\n",
        variant.name,
        variant.named.name,
        words.join(" | ")
    )
}

fn structure(name: &str, about: &str, fields: &[Field]) -> String {
    let derived = if fields.iter().all(|field| !field.required) {
        "Debug, Clone, PartialEq, Default, Serialize, Deserialize"
    } else {
        "Debug, Clone, PartialEq, Serialize, Deserialize"
    };
    let plain = |field: &Field| field.rust.trim_start_matches("r#") == field.wire;
    let renamed = fields
        .iter()
        .any(|field| !plain(field) && camel(&field.rust) == field.wire);
    let mut text = comment("///", 0, about);
    text += &format!("#[derive({derived})]\n");
    if renamed {
        text += "#[serde(rename_all = \"camelCase\")]\n";
    }
    text += &format!("pub struct {name} {{\n");
    for field in fields {
        let about = if field.about.is_empty() {
            format!("`{}`", field.wire)
        } else {
            field.about.clone()
        };
        text += &comment("///", 4, &about);
        let serde_says = if renamed {
            camel(&field.rust)
        } else {
            field.rust.trim_start_matches("r#").to_owned()
        };
        let mut attributes = Vec::new();
        if serde_says != field.wire {
            attributes.push(format!("rename = {:?}", field.wire));
        }
        match (&field.kind, field.required) {
            (Type::Number, true) => {
                attributes.push("serialize_with = \"crate::number::plain\"".to_owned());
            }
            (Type::Number, false) => {
                attributes.push("serialize_with = \"crate::number::plain_option\"".to_owned());
            }
            _ => {}
        }
        if !field.required {
            attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
        }
        if !attributes.is_empty() {
            text += &format!("    #[serde({})]\n", attributes.join(", "));
        }
        text += &format!("    pub {}: {},\n", field.rust, wrapped(field));
    }
    text + "}\n\n"
}

fn wrapped(field: &Field) -> String {
    match (&field.kind, field.required) {
        (kind, true) => kind.to_string(),
        (Type::Any, false) => "Option<Value>".to_owned(),
        (kind, false) => format!("Option<{kind}>"),
    }
}
