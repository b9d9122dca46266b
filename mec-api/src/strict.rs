//! JSON as the documents mean it: an object is an object.
//!
//! What serde derives for a struct also takes an array of its members in their order, which no document permits. This
//! stands between a reader of JSON and such a type, and asks for an object wherever the type asks for a struct.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// A part of reading that passes its strictness on to the parts inside.
pub(crate) struct Strict<T>(pub T);

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $kind:ty),*);)+) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Strict(visitor))
        })+
    };
}

macro_rules! deserialize_integer {
    ($($method:ident();)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Whole(visitor))
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    deserialize_integer! {
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
    }

    deserialize! {
        deserialize_any();
        deserialize_bool();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }
}

macro_rules! visit {
    ($($method:ident($kind:ty);)+) => {
        $(fn $method<E: Error>(self, it: $kind) -> Result<V::Value, E> {
            self.0.$method(it)
        })+
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(inner))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(inner))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(variant)
    }
}

/// Whoever waits for an integer: a number without a fraction is one, however it is written (JSON Schema 2020-12, 4.2.3).
struct Whole<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Whole<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
    }

    fn visit_f64<E: Error>(self, it: f64) -> Result<V::Value, E> {
        // Beyond 2^53 a written fraction may have been lost on the way to here.
        const EXACT: f64 = 9_007_199_254_740_991.0;
        let whole = it.fract() == 0.0 && it.abs() <= EXACT;
        match whole.then(|| format!("{it:.0}").parse::<i64>()) {
            Some(Ok(whole)) => match u64::try_from(whole) {
                Ok(natural) => self.0.visit_u64(natural),
                Err(_) => self.0.visit_i64(whole),
            },
            _ => self.0.visit_f64(it),
        }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::OneOrMany;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: u8,
        inner: Option<Box<Point>>,
    }

    fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_json::Error> {
        T::deserialize(Strict(&mut serde_json::Deserializer::from_str(text)))
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        assert!(read::<Point>(r#"{"x": 1, "inner": {"x": 2}}"#).is_ok());
        assert!(read::<Point>(r"[1, null]").is_err());
        assert!(read::<Point>(r#"{"x": 1, "inner": [2, null]}"#).is_err());
        assert!(read::<Vec<Point>>(r"[[1, null]]").is_err());
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        assert_eq!(read::<Point>(r#"{"x": 7.0}"#).unwrap().x, 7);
        assert_eq!(read::<Point>(r#"{"x": 1.2e1}"#).unwrap().x, 12);
        assert_eq!(read::<i32>("-3.0").unwrap(), -3);
        for bad in [
            r#"{"x": 7.5}"#,
            r#"{"x": 256.0}"#,
            r#"{"x": -1.0}"#,
            r#"{"x": 1e300}"#,
        ] {
            assert!(read::<Point>(bad).is_err(), "{bad}");
        }
        assert!((read::<f64>("7.0").unwrap() - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn one_or_many_objects_are_objects() {
        let many: OneOrMany<Point> = read(r#"[{"x": 1}, {"x": 2}]"#).unwrap();
        assert_eq!(many.as_slice().len(), 2);
        assert!(read::<OneOrMany<Point>>(r#"{"x": 1}"#).is_ok());
        assert!(read::<OneOrMany<Point>>("[[1, null]]").is_err());
        assert!(read::<OneOrMany<Point>>("7").is_err());
    }
}
