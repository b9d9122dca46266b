//! Attribute paths: names separated by slashes, with the escapes of MEC 009 (6.18.2 and 6.19.2).

use std::fmt;

use super::error::{Excerpt, Parameter, QueryError};

/// Names in a path: twice as deep as any list of ours goes.
pub const PATH_SEGMENTS: usize = 12;
/// What stands for the keys of a map.
const KEY: &str = "@key";

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// An attribute, or the key of one member of a map.
    Name(String),
    /// `@key`: every key of the map.
    Key,
}

/// Where an attribute is: the objects on the way, and the attribute itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    /// What MEC 009 calls the attribute prefix.
    pub(super) prefix: Vec<Segment>,
    /// What it calls the leaf attribute.
    pub(super) leaf: Segment,
}

impl AttributePath {
    /// Reads a path.
    ///
    /// # Errors
    /// When a name is missing, an escape does not exist, or there are more than [`PATH_SEGMENTS`] names.
    pub(super) fn parse(text: &str, parameter: Parameter) -> Result<Self, QueryError> {
        let mut prefix = Vec::new();
        let mut rest = text;
        while let Some((name, tail)) = rest.split_once('/') {
            prefix.push(Segment::parse(name, parameter)?);
            if prefix.len() >= PATH_SEGMENTS {
                return Err(QueryError::TooMany {
                    parameter,
                    parts: "names in a path",
                    limit: PATH_SEGMENTS,
                });
            }
            rest = tail;
        }
        let leaf = Segment::parse(rest, parameter)?;
        Ok(Self { prefix, leaf })
    }

    /// All parts, the leaf last.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.prefix.iter().chain([&self.leaf])
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.prefix {
            write!(f, "{segment}/")?;
        }
        self.leaf.fmt(f)
    }
}

impl Segment {
    fn parse(text: &str, parameter: Parameter) -> Result<Self, QueryError> {
        let malformed = |expected| QueryError::Malformed {
            parameter,
            rest: Excerpt::of(text),
            expected,
        };
        if text == KEY {
            return Ok(Self::Key);
        }
        if text.is_empty() {
            return Err(malformed("the name of an attribute"));
        }
        let mut name = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            name.push(match character {
                '~' => match characters.next() {
                    Some('0') => '~',
                    Some('1') => '/',
                    Some('a') => ',',
                    Some('b') => '@',
                    _ => return Err(malformed("one of ~0, ~1, ~a and ~b where a ~ is")),
                },
                '@' => return Err(malformed("@key, or ~b for an @ in a name")),
                other => other,
            });
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Name(name) = self else {
            return f.write_str(KEY);
        };
        name.chars().try_for_each(|character| match character {
            '~' => f.write_str("~0"),
            '/' => f.write_str("~1"),
            ',' => f.write_str("~a"),
            '@' => f.write_str("~b"),
            other => fmt::Write::write_char(f, other),
        })
    }
}
