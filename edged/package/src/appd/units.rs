//! Amounts with a unit: `100 MiB` in TOSCA (Simple Profile 1.3, 3.3.6), a number of one unit on the wire of MEC 010-2.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("KIB", 1 << 10),
    ("MB", 1_000_000),
    ("MIB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GIB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TIB", 1 << 40),
];
const TIMES: [(&str, u64); 5] = [
    ("MS", 1),
    ("S", 1_000),
    ("M", 60_000),
    ("H", 3_600_000),
    ("D", 86_400_000),
];
/// Largest number before its unit: every unit times this fits 64 bits.
const NUMBER_MAX: u64 = 10_000_000;
/// Decimals behind the point that count.
const DECIMALS: usize = 6;

/// An amount kept in its smallest unit (bytes, milliseconds); `WIRE` of them are one on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount<const WIRE: u64>(pub u64);

/// Megabytes (1,000,000 bytes) on the wire, bytes inside.
pub type Megabytes = Amount<1_000_000>;
/// Gigabytes (1,000,000,000 bytes) on the wire, bytes inside.
pub type Gigabytes = Amount<1_000_000_000>;
/// Seconds on the wire, milliseconds inside.
pub type Seconds = Amount<1_000>;

impl<const WIRE: u64> Amount<WIRE> {
    fn units() -> &'static [(&'static str, u64)] {
        if WIRE == 1_000 { &TIMES } else { &SIZES }
    }

    /// A number with a unit, or without for the unit of the wire.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(split)?;
        let unit = unit.trim().to_ascii_uppercase();
        let factor = if unit.is_empty() {
            WIRE
        } else {
            Self::units().iter().find(|(name, _)| *name == unit)?.1
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().ok().filter(|whole| *whole <= NUMBER_MAX)?;
        if part.is_empty() || part.len() > DECIMALS {
            return None;
        }
        let millionths: u64 = format!("{part:0<DECIMALS$}").parse().ok()?;
        let fraction = u128::from(millionths) * u128::from(factor) / 1_000_000;
        whole
            .checked_mul(factor)?
            .checked_add(u64::try_from(fraction).ok()?)
            .map(Self)
    }
}

impl<const WIRE: u64> Serialize for Amount<WIRE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0 / WIRE;
        let rest = self.0 % WIRE;
        if rest == 0 {
            return serializer.serialize_u64(whole);
        }
        // Decimal text keeps what binary division would blur.
        let digits = WIRE.ilog10();
        let digits = usize::try_from(digits).unwrap_or(0);
        let number: f64 = format!("{whole}.{rest:0digits$}")
            .parse()
            .map_err(serde::ser::Error::custom)?;
        serializer.serialize_f64(number)
    }
}

impl<'de, const WIRE: u64> Deserialize<'de> for Amount<WIRE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const WIRE: u64>;
        impl<const WIRE: u64> Visitor<'_> for Reader<WIRE> {
            type Value = Amount<WIRE>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let example = if WIRE == 1_000 { "5 s" } else { "64 MiB" };
                write!(f, "a number with a unit, as in {example}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Amount::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        assert_eq!(Megabytes::parse("64 MiB"), Some(Amount(64 << 20)));
        assert_eq!(Megabytes::parse("1024MB"), Some(Amount(1_024_000_000)));
        assert_eq!(Seconds::parse("500 ms"), Some(Amount(500)));
        assert_eq!(Seconds::parse("1.5"), Some(Amount(1_500)));
        for bad in [
            "",
            "MiB",
            "5 s",
            "-1 MB",
            "1.1234567 MB",
            "99999999999999999999",
            "1 . 2",
            "1.",
        ] {
            assert_eq!(Megabytes::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn megabytes_survive_the_wire() {
        for bytes in [64 << 20, 1, 1_000_000, 123_456_789] {
            let text = serde_json::to_string(&Amount::<1_000_000>(bytes)).unwrap();
            assert_eq!(
                serde_json::from_str::<Megabytes>(&text).unwrap().0,
                bytes,
                "{text}"
            );
        }
    }
}
