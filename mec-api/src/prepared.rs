//! An answer that was written before it was asked for.

use std::marker::PhantomData;

use bytes::Bytes;

/// The JSON of a `T`. Whoever answers the same again and again writes it once; a clone is another reference to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared<T> {
    json: Bytes,
    of: PhantomData<fn() -> T>,
}

impl<T> Prepared<T> {
    /// What was written of a `T`; that it is one is the caller's promise.
    pub fn json(json: Bytes) -> Self {
        Self {
            json,
            of: PhantomData,
        }
    }

    /// What is sent.
    pub fn into_json(self) -> Bytes {
        self.json
    }
}
