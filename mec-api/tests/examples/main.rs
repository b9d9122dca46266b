//! The examples of the documents are what the types take and give.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod schemas;

use mec_api::check::{Check, Place};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A document and its name.
struct Examples {
    document: &'static str,
    root: Value,
}

impl Examples {
    fn of(document: &'static str) -> Self {
        let known = mec_api::documents().iter().find(|it| it.name == document);
        let root = serde_saphyr::from_str(known.unwrap().text).unwrap();
        Self { document, root }
    }

    /// Every example of a schema is a `T`, which is written as it was.
    fn read<T: DeserializeOwned + Serialize>(&self, schema: &str) -> Vec<T> {
        let examples = &self.root["components"]["schemas"][schema]["examples"];
        // A schema of one word needs none.
        let examples = examples.as_array().into_iter().flatten();
        let each = examples.map(|example| {
            let document = self.document;
            let value: T = serde_json::from_value(example.clone())
                .unwrap_or_else(|error| panic!("{document}: {schema}: {error}: {example}"));
            let written = serde_json::to_value(&value).unwrap();
            assert_eq!(&written, example, "{document}: {schema}");
            value
        });
        each.collect()
    }

    /// It keeps the rules of its schema as well.
    fn checked<T: DeserializeOwned + Serialize + Check>(&self, schema: &str) {
        for value in self.read::<T>(schema) {
            if let Err(fault) = value.check(Place::ROOT) {
                panic!("{}: {schema}: {fault}", self.document);
            }
        }
    }
}
