//! Rules as text: one `impl Check` for each type that has some.

use std::collections::BTreeSet;

use super::model::{Field, Item, Kind, Module, Named, Rule, Type};
use super::print_types::named;
use super::prose::comment;

/// The types that have rules, of their own or inside.
pub fn checked(modules: &[Module]) -> BTreeSet<Named> {
    let mut found: BTreeSet<Named> = BTreeSet::new();
    loop {
        let before = found.len();
        for module in modules {
            for item in &module.items {
                if has_rules(item, &found) {
                    found.insert(Named {
                        module: module.name,
                        name: item.name.clone(),
                    });
                }
            }
        }
        // What refers to what was found is found in the next round.
        if found.len() == before {
            return found;
        }
    }
}

fn has_rules(item: &Item, found: &BTreeSet<Named>) -> bool {
    let inside = |kind: &Type| kind.named().is_some_and(|named| found.contains(named));
    match &item.kind {
        Kind::Struct { fields, any_of } => {
            !any_of.is_empty()
                || fields
                    .iter()
                    .any(|field| !field.rules.is_empty() || inside(&field.kind))
        }
        Kind::Union { variants, .. } => variants
            .iter()
            .any(|variant| found.contains(&variant.named)),
        Kind::Alias(kind) => inside(kind),
        Kind::Words(_) | Kind::Word(_) => false,
    }
}

/// The rules of some types; empty when none has any.
pub fn file(module: &Module, items: &[&Item], found: &BTreeSet<Named>) -> String {
    let mut text = String::new();
    let mut types = Vec::new();
    for item in items {
        let name = Named {
            module: module.name,
            name: item.name.clone(),
        };
        if found.contains(&name) && !matches!(item.kind, Kind::Alias(_)) {
            text += &print(item, found);
            types.push(name);
        }
    }
    if text.is_empty() {
        return text;
    }
    let about = comment(
        "//!",
        0,
        "What the types do not say: lengths, ranges, forms and combinations.",
    );
    let used = named(module, &BTreeSet::new(), types.iter());
    format!("{about}\n{used}use crate::check::{{Check, Fault, Place}};\n\n{text}")
}

fn print(item: &Item, found: &BTreeSet<Named>) -> String {
    let body = match &item.kind {
        Kind::Struct { fields, any_of } => structure(fields, any_of, found),
        Kind::Union { variants, .. } => {
            let (ruled, free): (Vec<_>, Vec<_>) = variants
                .iter()
                .partition(|variant| found.contains(&variant.named));
            let ruled = ruled.iter().map(|variant| {
                format!("            Self::{}(it) => it.check(at),\n", variant.name)
            });
            let mut arms: String = ruled.collect();
            if !free.is_empty() {
                let free = free
                    .iter()
                    .map(|variant| format!("Self::{}(_)", variant.name));
                let free: Vec<_> = free.collect();
                arms += &format!("            {} => Ok(()),\n", free.join(" | "));
            }
            format!("        match self {{\n{arms}        }}\n")
        }
        _ => String::new(),
    };
    format!(
        "impl Check for {} {{\n    fn check(&self, at: Place<'_>) -> Result<(), Fault> {{\n{body}    }}\n}}\n\n",
        item.name
    )
}

fn structure(fields: &[Field], any_of: &[String], found: &BTreeSet<Named>) -> String {
    let mut checks = Vec::new();
    if !any_of.is_empty() {
        let named = fields.iter().filter(|field| any_of.contains(&field.wire));
        let each = named.map(|field| format!("({:?}, self.{}.is_some())", field.wire, field.rust));
        checks.push(format!(
            "at.any_of(&[{}])",
            each.collect::<Vec<_>>().join(", ")
        ));
    }
    for field in fields {
        let (wire, rust) = (&field.wire, &field.rust);
        for rule in &field.rules {
            checks.push(format!("at.member({wire:?}).{}", rule_call(rule, rust)));
        }
        if field
            .kind
            .named()
            .is_some_and(|named| found.contains(named))
        {
            checks.push(format!("self.{rust}.check(at.member({wire:?}))"));
        }
    }
    // The last one is what the function returns.
    format!("        {}\n", checks.join("?;\n        "))
}

fn rule_call(rule: &Rule, field: &str) -> String {
    let open =
        |most: &Option<i64>| most.map_or_else(|| "usize::MAX".to_owned(), |most| most.to_string());
    match rule {
        Rule::Items(least, most) => format!("items({least}..={}, &self.{field})", open(most)),
        Rule::Range(least, most) => {
            format!(
                "range({}..={}, self.{field})",
                grouped(least),
                grouped(most)
            )
        }
        Rule::OneOf(known) => {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            format!("one_of(&[{}], self.{field})", known.join(", "))
        }
        Rule::Length(least, most) => format!("length({least}..={}, &self.{field})", open(most)),
        Rule::Digits(least, most) => format!("digits({least}..={most}, &self.{field})"),
        Rule::Uri => format!("uri(&self.{field})"),
        Rule::UriReference => format!("uri_reference(&self.{field})"),
        Rule::Uuid => format!("uuid(&self.{field})"),
    }
}

/// A number as Rust's style has it: 999999999 is `999_999_999`.
fn grouped(number: &str) -> String {
    if number.len() < 6 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut text = String::new();
    for (index, digit) in number.chars().enumerate() {
        if index > 0 && (number.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(grouped("999999999"), "999_999_999");
        assert_eq!(grouped("65535"), "65535");
        assert_eq!(grouped("u64::MAX"), "u64::MAX");
    }
}
