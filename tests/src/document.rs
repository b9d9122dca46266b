//! Documents and the references between them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// One document of a folder.
#[derive(Debug)]
pub struct Document {
    /// The file's name, as references write it.
    pub name: String,
    /// The whole of it.
    pub root: Value,
}

impl Document {
    /// A text at the top of the document.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.root.get(member)?.as_str()
    }
}

/// The documents that may refer to each other, by name.
#[derive(Debug)]
pub struct Library(BTreeMap<String, Document>);

/// A value and the document in which its own references are relative.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The document's name.
    pub document: &'a str,
    /// The pointer that a reference gave, when one led here.
    pub pointer: Option<&'a str>,
    /// The value.
    pub value: &'a Value,
}

impl<'a> Place<'a> {
    /// A member, where there is one.
    pub fn get(self, member: &str) -> Option<Self> {
        Some(self.at(self.value.get(member)?))
    }

    /// Another value of the same document.
    #[must_use]
    pub fn at(self, value: &'a Value) -> Self {
        Self {
            document: self.document,
            pointer: None,
            value,
        }
    }
}

/// Reads one YAML file.
///
/// # Errors
/// When the file cannot be read or is not YAML.
pub fn read_yaml(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

/// One segment of a JSON pointer, escaped.
pub fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

impl Library {
    /// Reads every YAML file of a folder but `platform.yaml`, which is written from code and follows no standard's file.
    ///
    /// # Errors
    /// When the folder or a file of it cannot be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut documents = BTreeMap::new();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let own = path.file_name().is_some_and(|name| name == "platform.yaml");
            let is_yaml = path.extension().is_some_and(|it| it == "yaml");
            if is_yaml && !own {
                let name = path.file_name().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                let root = read_yaml(&path)?;
                documents.insert(name.clone(), Document { name, root });
            }
        }
        Ok(Self(documents))
    }

    /// A library of one document.
    pub fn of_one(name: &str, root: Value) -> Self {
        let name = name.to_owned();
        Self(BTreeMap::from([(name.clone(), Document { name, root })]))
    }

    /// All of them, by name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.0.values()
    }

    /// The top of a document.
    ///
    /// # Errors
    /// When there is no such document.
    pub fn root<'a>(&'a self, name: &str) -> anyhow::Result<Place<'a>> {
        let (document, found) = self
            .0
            .get_key_value(name)
            .with_context(|| format!("there is no document {name}"))?;
        Ok(Place {
            document,
            pointer: None,
            value: &found.root,
        })
    }

    /// Where `reference`, written in `document`, leads.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn find<'a>(&'a self, document: &'a str, reference: &'a str) -> anyhow::Result<Place<'a>> {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let file = file.trim_start_matches("./");
        let (name, found) = self
            .0
            .get_key_value(if file.is_empty() { document } else { file })
            .with_context(|| format!("{document} refers to {reference}: no such file"))?;
        let value = found
            .root
            .pointer(pointer)
            .with_context(|| format!("{document} refers to {reference}: nothing is there"))?;
        Ok(Place {
            document: name,
            pointer: Some(pointer),
            value,
        })
    }

    /// Follows `$ref` until there is none.
    ///
    /// # Errors
    /// When a reference leads nowhere or in a circle.
    pub fn resolve<'a>(&'a self, place: Place<'a>) -> anyhow::Result<Place<'a>> {
        let mut at = place;
        // A chain longer than this goes in a circle.
        for _ in 0..16 {
            let Some(reference) = at.value.get("$ref").and_then(Value::as_str) else {
                return Ok(at);
            };
            at = self.find(at.document, reference)?;
        }
        anyhow::bail!(
            "references in {} go in a circle: {}",
            place.document,
            place.value
        )
    }

    /// References that lead nowhere, a line each.
    pub fn dangling_references(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for document in self.documents() {
            let mut open = vec![&document.root];
            while let Some(value) = open.pop() {
                match value {
                    Value::Object(members) => {
                        if let Some(Value::String(reference)) = members.get("$ref")
                            && let Err(error) = self.find(&document.name, reference)
                        {
                            faults.push(error.to_string());
                        }
                        open.extend(members.values());
                    }
                    Value::Array(items) => open.extend(items),
                    _ => {}
                }
            }
        }
        faults
    }
}

#[test]
fn a_reference_to_nothing_is_named() {
    let root = serde_json::json!({"a": {"$ref": "#/b"}, "c": {"$ref": "#/a"}});
    let faults = Library::of_one("x.yaml", root).dangling_references();
    assert_eq!(faults, ["x.yaml refers to #/b: nothing is there"]);
}
