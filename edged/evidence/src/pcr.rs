//! Platform configuration registers, and what is put into them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Registers that a boot writes; the others belong to the running system.
pub const REGISTERS: u8 = 16;

/// A SHA-256 value: what is put into a register, or what it then holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Value(pub [u8; 32]);

impl Value {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// What the register holds when `digest` has been put into it as well.
    #[must_use]
    pub fn extended(self, digest: Self) -> Self {
        Self::of(&[self.0, digest.0].concat())
    }
}

/// A text that should have been a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 value of 64 hexadecimal digits")]
pub struct NoValue(pub String);

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::str::FromStr for Value {
    type Err = NoValue;

    fn from_str(text: &str) -> Result<Self, NoValue> {
        let digits: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        digits
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| NoValue(text.to_owned()))
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The register that it went into.
    pub pcr: u8,
    /// What was measured, such as `db` or `BL_33`.
    pub name: String,
    /// Its hash.
    pub digest: Value,
}

impl Event {
    /// A measurement of some bytes.
    pub fn of(pcr: u8, name: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            pcr,
            name: name.into(),
            digest: Value::of(bytes),
        }
    }
}

/// What the registers hold after all events, in the order that they were measured in.
pub fn replay(events: &[Event]) -> BTreeMap<u8, Value> {
    let mut registers: BTreeMap<u8, Value> =
        (0..REGISTERS).map(|pcr| (pcr, Value::default())).collect();
    for event in events {
        let register = registers.entry(event.pcr).or_default();
        *register = register.extended(event.digest);
    }
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_depends_on_the_order_of_its_events() {
        let (one, two) = (Event::of(4, "one", b"1"), Event::of(4, "two", b"2"));
        let there = replay(&[one.clone(), two.clone()]);
        let back = replay(&[two, one]);
        assert_ne!(there[&4], back[&4]);
        assert_eq!(there[&0], Value::default());
    }

    #[test]
    fn a_separator_alone_gives_the_value_that_every_machine_has() {
        let value = Value::default().extended(Value::of(&[0; 4]));
        assert_eq!(
            value.to_string(),
            "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969"
        );
        assert_eq!(value.to_string().parse::<Value>().unwrap(), value);
        assert!("3d45".parse::<Value>().is_err());
    }
}
