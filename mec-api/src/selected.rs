//! A representation from which a selector took members away.

use std::marker::PhantomData;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A `T` from which attribute selectors (MEC 009, clause 6.18) may have taken optional members away.
///
/// It is only ever sent, so it holds JSON; `T` says what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected<T> {
    json: Value,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> Selected<T> {
    /// All of it.
    ///
    /// # Errors
    /// When `whole` has no form in JSON.
    pub fn whole(whole: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(whole).map(Self::of)
    }
}

impl<T> Selected<T> {
    /// What is left of a `T` after selecting.
    pub fn of(json: Value) -> Self {
        Self {
            json,
            of: PhantomData,
        }
    }

    /// What is sent.
    pub fn json(&self) -> &Value {
        &self.json
    }
}

impl<T> Serialize for Selected<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}
