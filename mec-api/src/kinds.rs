//! Objects of several kinds that one of their members tells apart.

use serde::de::{DeserializeOwned, Error};
use serde_json::Value;

use crate::strict::Strict;

/// One of several objects; the value of a member says which.
macro_rules! kinds {
    (
        $(#[$about:meta])*
        pub enum $name:ident by $member:literal {
            $($(#[$each:meta])* $variant:ident($kind:ty) for $($word:literal)|+,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        #[allow(clippy::large_enum_variant, reason = "made once a request, and soon gone")]
        pub enum $name {
            $($(#[$each])* $variant($kind),)+
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let object = serde_json::Value::deserialize(deserializer)?;
                match crate::kinds::kind(&object, $member)? {
                    $($($word)|+ => crate::kinds::of(object).map(Self::$variant),)+
                    other => Err(serde::de::Error::custom(format!(
                        "{}: `{other}` is not one of {}",
                        $member,
                        [$($($word),+),+].join(", "),
                    ))),
                }
            }
        }
    };
}

pub(crate) use kinds;

/// What the member that tells kinds apart says.
pub(crate) fn kind<'a, E: Error>(object: &'a Value, member: &str) -> Result<&'a str, E> {
    if !object.is_object() {
        return Err(E::custom("an object is needed"));
    }
    match object.get(member) {
        None | Some(Value::Null) => Err(E::custom(format!("missing field `{member}`"))),
        Some(Value::String(word)) => Ok(word),
        Some(_) => Err(E::custom(format!("{member}: a string is needed"))),
    }
}

/// The object as one kind; the error names the member, because serde's own path ends where the choice begins.
pub(crate) fn of<T: DeserializeOwned, E: Error>(object: Value) -> Result<T, E> {
    serde_path_to_error::deserialize(Strict(object)).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => E::custom(error.inner()),
            _ => E::custom(format!("{path}: {}", error.inner())),
        }
    })
}
