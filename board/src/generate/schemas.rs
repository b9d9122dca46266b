//! From schemas to types.

use anyhow::{Context, bail, ensure};

use super::choices::{common_ending, permitted, telling_member, variants};
use super::known;
use super::library::{Library, Place};
use super::model::{Field, Item, Kind, Named, Rule, Type, Variant};
use super::module_of;
use super::names::{capitalized, pascal, snake, words};
use super::node::Node;
use super::rules::{any_of, integer, item_rules, number_rules, text_rules};

/// Reads the schemas of one module.
pub struct Reader<'a> {
    library: &'a Library,
    module: &'static str,
    /// The names of the document's own schemas.
    taken: Vec<&'a str>,
    items: Vec<Item>,
}

impl<'a> Reader<'a> {
    /// For a module that has nothing yet.
    pub fn new(library: &'a Library, module: &'static str) -> Self {
        Self {
            library,
            module,
            taken: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Every named schema of a document, and the enumerations inside them.
    pub fn all(mut self, root: Place<'a>) -> anyhow::Result<Vec<Item>> {
        let schemas = root.at(root.node.at("/components/schemas"));
        self.taken = schemas
            .node
            .members()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        for (name, node) in schemas.node.members() {
            let item = self.item(name, schemas.at(node));
            let item = item.with_context(|| format!("{}: {name}", root.document))?;
            self.add(item)?;
        }
        Ok(self.items)
    }

    /// How many types were made on the way.
    pub fn made(&self) -> usize {
        self.items.len()
    }

    fn add(&mut self, item: Item) -> anyhow::Result<()> {
        ensure!(
            !self.items.iter().any(|known| known.name == item.name),
            "two types are called {}",
            item.name
        );
        self.items.push(item);
        Ok(())
    }

    fn item(&mut self, name: &str, schema: Place<'a>) -> anyhow::Result<Item> {
        known::schema(schema.node)?;
        let kind = if schema.node.get("oneOf").is_some() {
            self.union(schema)?
        } else if schema.node.get("properties").is_some() {
            Kind::Struct {
                fields: self.fields(name, schema)?,
                any_of: any_of(schema.node)?,
            }
        } else if schema.node.get("enum").is_some() && is(schema.node, "string") {
            Kind::Words(variants(schema.node)?)
        } else {
            let (kind, rules) = self.kind(name, "", schema)?;
            ensure!(
                rules.is_empty(),
                "rules of a named simple type are not supported"
            );
            Kind::Alias(kind)
        };
        let about = schema.node.get("description").text();
        let about = about.map_or_else(|| sentence(name), str::to_owned);
        Ok(Item {
            name: name.to_owned(),
            about,
            kind,
            in_document: true,
        })
    }

    fn fields(&mut self, owner: &str, schema: Place<'a>) -> anyhow::Result<Vec<Field>> {
        let required: Vec<&str> = schema
            .node
            .get("required")
            .items()
            .iter()
            .filter_map(Node::text)
            .collect();
        let mut fields: Vec<Field> = Vec::new();
        for (wire, node) in schema.node.get("properties").members() {
            let member = schema.at(node);
            let (kind, rules) = self
                .kind(owner, wire, member)
                .with_context(|| wire.clone())?;
            let mut rust = snake(wire);
            if fields.iter().any(|known| known.rust == rust) {
                rust = format!("{rust}_capitalized");
            }
            fields.push(Field {
                wire: wire.clone(),
                rust,
                about: self.about(member, &rules)?,
                kind,
                required: required.contains(&wire.as_str()),
                rules,
            });
        }
        for name in required {
            ensure!(
                fields.iter().any(|field| field.wire == name),
                "{name} is required and not there"
            );
        }
        Ok(fields)
    }

    /// What a member is: its own description, or that of what it refers to.
    fn about(&self, member: Place<'a>, rules: &[Rule]) -> anyhow::Result<String> {
        let resolved = self.library.resolve(member)?;
        let name = member
            .node
            .get("$ref")
            .text()
            .and_then(|it| it.rsplit('/').next());
        let own = member.node.get("description").text();
        let theirs = resolved.node.get("description").text();
        let mut about = match (own.or(theirs), name) {
            (Some(text), _) => text.trim().to_owned(),
            (None, Some(name)) => sentence(name),
            (None, None) => String::new(),
        };
        for said in rules.iter().filter_map(Rule::said) {
            about = format!("{about} {said}");
        }
        match member.node.get("default") {
            Node::Bool(value) => about = format!("{about} Without it `{value}`."),
            Node::Null => {}
            other => bail!("the default {other:?} is not supported"),
        }
        Ok(about.trim().to_owned())
    }

    /// The type of a member and what the type does not say.
    pub fn kind(
        &mut self,
        owner: &str,
        wire: &str,
        schema: Place<'a>,
    ) -> anyhow::Result<(Type, Vec<Rule>)> {
        known::schema(schema.node)?;
        let node = schema.node;
        if let Some(reference) = node.get("$ref").text() {
            return Ok((Type::Named(self.named(schema, reference)?), Vec::new()));
        }
        if node.get("oneOf").is_some() {
            return self.one_or_many(owner, wire, schema);
        }
        if let Some(value) = node.get("const").text() {
            return Ok((self.word(wire, value)?, Vec::new()));
        }
        Ok(match node.get("type").text() {
            None => (Type::Any, Vec::new()),
            Some("boolean") => (Type::Bool, Vec::new()),
            Some("string") if node.get("enum").is_some() => {
                (self.words(owner, wire, node)?, Vec::new())
            }
            Some("string") => (Type::Text, text_rules(node)?),
            Some("integer") => integer(node)?,
            Some("number") => (Type::Number, number_rules(node)),
            Some("object") => match node.get("additionalProperties") {
                inner @ Node::Map(_) => {
                    let (kind, rules) = self.kind(owner, wire, schema.at(inner))?;
                    ensure!(
                        rules.is_empty(),
                        "rules of members of any name are not supported"
                    );
                    (Type::Map(Box::new(kind)), Vec::new())
                }
                _ => (Type::Free, Vec::new()),
            },
            Some("array") => {
                let (kind, rules) = self.kind(
                    owner,
                    wire.strip_suffix('s').unwrap_or(wire),
                    schema.get("items"),
                )?;
                ensure!(
                    rules.is_empty(),
                    "rules of items are not supported, give them a name"
                );
                (Type::List(Box::new(kind)), item_rules(node)?)
            }
            Some(other) => bail!("the type {other} is not supported"),
        })
    }

    fn named(&self, from: Place<'a>, reference: &'a str) -> anyhow::Result<Named> {
        let (document, pointer) = self.library.target(from, reference)?;
        let name = pointer.strip_prefix("/components/schemas/");
        let name = name.with_context(|| format!("{reference} is not a schema"))?;
        let module = module_of(document).with_context(|| format!("{document} has no module"))?;
        Ok(Named {
            module,
            name: name.to_owned(),
        })
    }

    /// An object, or an array of the same objects.
    fn one_or_many(
        &mut self,
        owner: &str,
        wire: &str,
        schema: Place<'a>,
    ) -> anyhow::Result<(Type, Vec<Rule>)> {
        let [one, many] = schema.node.get("oneOf").items() else {
            bail!("only an object or an array of it are supported as alternatives in a member");
        };
        let (one, _) = self.kind(owner, wire, schema.at(one))?;
        let (many, rules) = self.kind(owner, wire, schema.at(many))?;
        ensure!(
            many == Type::List(Box::new(one.clone())),
            "the alternatives are not one object and an array of it"
        );
        Ok((Type::OneOrMany(Box::new(one)), rules))
    }

    /// A type with one permitted value, called by it.
    fn word(&mut self, wire: &str, value: &str) -> anyhow::Result<Type> {
        let last = words(wire).pop().unwrap_or_default();
        let name = pascal(value) + &capitalized(&last);
        let kind = Kind::Word(value.to_owned());
        self.inline(name, format!("Says `{value}`."), kind)
    }

    /// An enumeration that stands where it is used: called by its member, or by the object and its member.
    fn words(&mut self, owner: &str, wire: &str, node: &Node) -> anyhow::Result<Type> {
        let variants = variants(node)?;
        if let [(_, only)] = variants.as_slice() {
            return self.word(wire, only);
        }
        let same = |item: &&Item| matches!(&item.kind, Kind::Words(known) if *known == variants);
        if let Some(known) = self.items.iter().find(same) {
            let name = known.name.clone();
            return Ok(Type::Named(Named {
                module: self.module,
                name,
            }));
        }
        let member = pascal(wire);
        let free = |name: &str| {
            !self.taken.contains(&name) && !self.items.iter().any(|item| item.name == name)
        };
        let name = if words(wire).len() > 1 && free(&member) {
            member
        } else if owner.ends_with(&member) {
            format!("{owner}Kind")
        } else {
            format!("{owner}{member}")
        };
        let about = node.get("description").text().unwrap_or_default();
        let about = if about.is_empty() {
            sentence(&name)
        } else {
            about.to_owned()
        };
        self.inline(name, about, Kind::Words(variants))
    }

    fn inline(&mut self, name: String, about: String, kind: Kind) -> anyhow::Result<Type> {
        let known = self.items.iter().find(|known| known.name == name);
        if let Some(Kind::Word(value)) = known.map(|known| &known.kind) {
            let same = matches!(&kind, Kind::Word(other) if other == value);
            ensure!(same, "two values would both be called {name}");
        } else {
            self.add(Item {
                name: name.clone(),
                about,
                kind,
                in_document: false,
            })?;
        }
        Ok(Type::Named(Named {
            module: self.module,
            name,
        }))
    }

    fn union(&mut self, schema: Place<'a>) -> anyhow::Result<Kind> {
        let mut variants = Vec::new();
        for alternative in schema.node.get("oneOf").items() {
            let reference = alternative
                .get("$ref")
                .text()
                .context("an alternative has no name")?;
            let named = self.named(schema, reference)?;
            variants.push((named, self.library.resolve(schema.at(alternative))?));
        }
        let names: Vec<&str> = variants
            .iter()
            .map(|(named, _)| named.name.as_str())
            .collect();
        let ending = common_ending(&names);
        let member = match schema.node.at("/discriminator/propertyName").text() {
            Some(member) => Some(member.to_owned()),
            None => telling_member(&variants),
        };
        let variants = variants.iter().map(|(named, schema)| Variant {
            name: named
                .name
                .strip_suffix(&ending)
                .unwrap_or(&named.name)
                .to_owned(),
            named: named.clone(),
            words: member.as_ref().map_or_else(Vec::new, |member| {
                permitted(schema.node.get("properties").get(member))
            }),
        });
        let variants: Vec<Variant> = variants.collect();
        let known: Vec<&String> = variants.iter().flat_map(|variant| &variant.words).collect();
        let unique: std::collections::BTreeSet<_> = known.iter().collect();
        ensure!(
            unique.len() == known.len(),
            "the alternatives are not told apart by their values"
        );
        ensure!(
            member.is_none() || variants.iter().all(|variant| !variant.words.is_empty()),
            "an alternative has no value of its own"
        );
        Ok(Kind::Union { member, variants })
    }
}

fn is(schema: &Node, kind: &str) -> bool {
    schema.get("type").text() == Some(kind)
}

/// A name as a sentence, for what nobody described.
fn sentence(name: &str) -> String {
    capitalized(&words(name).join(" ")) + "."
}

#[cfg(test)]
mod tests;
