//! Versions of representations, and writing only what has not changed (RFC 9110, sections 8.8.3 and 13.1.1).

use std::fmt;
use std::io;

use serde::Serialize;

use crate::Problem;

/// A strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a representation: equal JSON has equal tags, here and after a restart.
    ///
    /// It tells versions apart and proves nothing, so the hash is not a cryptographic one.
    pub fn of(representation: &impl Serialize) -> Self {
        let mut hash = Fnv1a::default();
        // Maps are ordered and the sink never fails; what could not be written at all is one version as well.
        let _ = serde_json::to_writer(&mut hash, representation);
        Self(format!("{:032x}", hash.0))
    }
}

/// As it is in a header, with its quotes.
impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// FNV-1a with 128 bits.
struct Fnv1a(u128);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl io::Write for Fnv1a {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The header If-Match: which versions the client is ready to overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever is there.
    Any,
    /// One of these. Weak tags are left out: they match nothing in the strong comparison.
    Tags(Vec<ETag>),
}

impl IfMatch {
    /// Reads a header's value.
    ///
    /// # Errors
    /// 400 when it is neither `*` nor a list of quoted tags.
    pub fn parse(value: &str) -> Result<Self, Problem> {
        if value.trim() == "*" {
            return Ok(Self::Any);
        }
        let malformed = || {
            Problem::bad_request(format!(
                "If-Match: {value} is not * or a list of entity tags in double quotes"
            ))
        };
        let mut tags = Vec::new();
        let mut rest = value.trim();
        while !rest.is_empty() {
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let opened = quoted.strip_prefix('"').ok_or_else(malformed)?;
            let (tag, after) = opened.split_once('"').ok_or_else(malformed)?;
            if tag.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(malformed());
            }
            if !weak {
                tags.push(ETag(tag.to_owned()));
            }
            rest = after.trim_start();
            if let Some(next) = rest.strip_prefix(',') {
                rest = next.trim_start();
            } else if !rest.is_empty() {
                return Err(malformed());
            }
        }
        if value.trim().is_empty() {
            return Err(malformed());
        }
        Ok(Self::Tags(tags))
    }

    /// Whether `current` may be overwritten.
    ///
    /// # Errors
    /// 412 when the client means another version.
    pub fn permits(&self, current: &ETag) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.contains(current) => Ok(()),
            Self::Tags(_) => Err(Problem::precondition_failed(format!(
                "If-Match: the resource has changed, its ETag is {current}; read it again"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_representations_have_equal_tags() {
        let one = serde_json::json!({"a": 1});
        assert_eq!(ETag::of(&one), ETag::of(&one.clone()));
        assert_ne!(ETag::of(&one), ETag::of(&serde_json::json!({"a": 2})));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The offset basis is the hash of nothing, and the published value of "a".
        let mut hash = Fnv1a::default();
        io::Write::write_all(&mut hash, b"a").unwrap();
        assert_eq!(
            format!("{:032x}", hash.0),
            "d228cb696f1a8caf78912b704e4a8964"
        );
    }

    #[test]
    fn one_tag_of_a_list_is_enough() {
        let current = ETag::of(&1);
        let list = format!("\"other, with a comma\" , {current}");
        assert!(IfMatch::parse(&list).is_err(), "a tag has no blanks");
        let list = format!("\"other,\" , {current}");
        assert_eq!(IfMatch::parse(&list).unwrap().permits(&current), Ok(()));
        assert_eq!(IfMatch::parse("*").unwrap().permits(&current), Ok(()));
    }

    #[test]
    fn a_weak_tag_matches_nothing() {
        let current = ETag::of(&1);
        let weak = IfMatch::parse(&format!("W/{current}")).unwrap();
        assert_eq!(weak.permits(&current).unwrap_err().status().as_u16(), 412);
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for value in ["", "abc", "\"abc", "\"a\" \"b\"", "w/\"a\"", "\"a\",x"] {
            let problem = IfMatch::parse(value).unwrap_err();
            assert_eq!(problem.status().as_u16(), 400, "{value}");
        }
    }
}
