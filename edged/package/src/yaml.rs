//! YAML into plain values, within bounds, and a way to walk them that knows where it is.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::PackageError;

/// Deepest nesting; TOSCA descriptors reach ten.
const DEPTH_MAX: usize = 32;
/// Scalars, maps and lists of one file; a descriptor of a page has some hundreds.
const NODES_MAX: usize = 20_000;

/// Reads one document. Anchors and aliases are refused: TOSCA needs none, and a few lines of them fill any memory.
pub(crate) fn parse(file: &str, text: &str) -> Result<Value, PackageError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
            max_documents: 1,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error
            .location()
            .map_or_else(|| "/".to_owned(), |at| format!("line {}", at.line()));
        let reason = error.without_snippet().to_string().to_lowercase();
        PackageError::field_of(
            file,
            place,
            format!("{}; correct the YAML", reason.trim_end()),
        )
    })
}

/// A value and the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    file: &'a str,
    pointer: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(crate) fn root(file: &'a str, value: &'a Value) -> Self {
        Self {
            file,
            pointer: String::new(),
            value,
        }
    }

    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> PackageError {
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        PackageError::field_of(self.file, pointer, reason)
    }

    fn step(&self, key: &str, value: &'a Value) -> Self {
        Self {
            file: self.file,
            pointer: format!("{}/{}", self.pointer, escaped(key)),
            value,
        }
    }

    fn map(&self) -> Result<&'a Map<String, Value>, PackageError> {
        self.value
            .as_object()
            .ok_or_else(|| self.error("this has to be a map; write NAME: VALUE lines under it"))
    }

    /// A member; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Self>, PackageError> {
        Ok(self
            .map()?
            .get(key)
            .filter(|value| !value.is_null())
            .map(|value| self.step(key, value)))
    }

    pub(crate) fn require(&self, key: &str) -> Result<Self, PackageError> {
        self.get(key)?.ok_or_else(|| {
            self.step(key, &Value::Null)
                .error("this field is missing; add it")
        })
    }

    pub(crate) fn members(&self) -> Result<Vec<(&'a str, Self)>, PackageError> {
        Ok(self
            .map()?
            .iter()
            .map(|(key, value)| (key.as_str(), self.step(key, value)))
            .collect())
    }

    pub(crate) fn items(&self) -> Result<Vec<Self>, PackageError> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.error("this has to be a list; write lines that begin with '- '"))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(at, value)| self.step(&at.to_string(), value))
            .collect())
    }

    pub(crate) fn text(&self) -> Result<&'a str, PackageError> {
        self.value
            .as_str()
            .ok_or_else(|| self.error("this has to be a text; put it in quotes"))
    }

    /// Only these members may be there.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), PackageError> {
        for (key, node) in self.members()? {
            if !known.contains(&key) {
                return Err(node.error(format!(
                    "this field is not known; leave it out, or use one of {}",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The value as a type; what does not fit is told with the way to it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, PackageError> {
        serde_path_to_error::deserialize(self.value).map_err(|error| {
            let mut pointer = self.pointer.clone();
            for segment in error.path() {
                use serde_path_to_error::Segment;
                let part = match segment {
                    Segment::Map { key } => escaped(key),
                    Segment::Seq { index } => index.to_string(),
                    Segment::Enum { variant } => escaped(variant),
                    Segment::Unknown => continue,
                };
                pointer.push('/');
                pointer.push_str(&part);
            }
            let reason = error.into_inner().to_string();
            // Absent fields have no segment of their own.
            if let Some(name) = missing_field(&reason) {
                pointer.push('/');
                pointer.push_str(&snake(name));
                return PackageError::field_of(self.file, pointer, "this field is missing; add it");
            }
            PackageError::field_of(self.file, pointer, format!("{reason}; correct it"))
        })
    }
}

/// The field that serde says is missing.
pub(crate) fn missing_field(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.split('`').next()
}

/// RFC 6901, 3.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// `ipAddressType` as TOSCA writes it: `ip_address_type`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
