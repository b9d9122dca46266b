//! What is wrong with the parameters of a list: one sentence each, for the detail of a 400.

use std::fmt;

use super::expression::Operator;

/// Characters of the request that an answer repeats: enough to find the place, too few to fill a log.
const EXCERPT_CHARS: usize = 48;

/// A parameter that a list takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// `filter`.
    Filter,
    /// `all_fields`.
    AllFields,
    /// `fields`.
    Fields,
    /// `exclude_fields`.
    ExcludeFields,
    /// `exclude_default`.
    ExcludeDefault,
    /// `nextpage_opaque_marker`.
    NextPage,
}

impl Parameter {
    /// Its name in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::AllFields => "all_fields",
            Self::Fields => "fields",
            Self::ExcludeFields => "exclude_fields",
            Self::ExcludeDefault => "exclude_default",
            Self::NextPage => "nextpage_opaque_marker",
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The beginning of a part of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// The first characters of a text.
    pub fn of(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        if text.chars().nth(EXCERPT_CHARS).is_none() {
            return Self(text);
        }
        Self(text.chars().take(EXCERPT_CHARS).chain(['…']).collect())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// Why a list cannot be given as asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Longer than is read.
    #[error("{parameter} has {bytes} bytes; at most {limit} are taken")]
    TooLong {
        /// The parameter.
        parameter: Parameter,
        /// Its length, decoded.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// More parts than are read.
    #[error("{parameter} has more than {limit} {parts}; ask for less at once")]
    TooMany {
        /// The parameter.
        parameter: Parameter,
        /// What there is too much of.
        parts: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Not of the form that MEC 009 gives.
    #[error("{parameter} is malformed at {rest}; there should be {expected}")]
    Malformed {
        /// The parameter.
        parameter: Parameter,
        /// From where on.
        rest: Excerpt,
        /// What would fit there.
        expected: &'static str,
    },
    /// No such attribute.
    #[error("{parameter} names {path}, which is no attribute of {list}")]
    Unknown {
        /// The parameter.
        parameter: Parameter,
        /// What it names.
        path: Excerpt,
        /// The list.
        list: &'static str,
    },
    /// An object or a map is not compared.
    #[error("filter compares {path}, which is structured; name a simple attribute inside it")]
    Structured {
        /// The attribute.
        path: Excerpt,
    },
    /// The operator does not exist for the type.
    #[error("filter applies {operator} to {path}, which is {kind}; use {allowed}")]
    Inapplicable {
        /// The operator.
        operator: Operator,
        /// The attribute.
        path: Excerpt,
        /// What the attribute is.
        kind: &'static str,
        /// What can be applied.
        allowed: String,
    },
    /// The operator takes one value.
    #[error(
        "filter gives {operator} several values for {path}; it takes one, and in takes several"
    )]
    Several {
        /// The operator.
        operator: Operator,
        /// The attribute.
        path: Excerpt,
    },
    /// The value is not of the attribute's type.
    #[error("filter compares {path} with {value}, which is not {expected}")]
    Value {
        /// The attribute.
        path: Excerpt,
        /// The value.
        value: Excerpt,
        /// What it should be.
        expected: String,
    },
    /// An attribute that is in every answer is no matter of selection.
    #[error(
        "{parameter} names {path}, which is always returned; name optional structured attributes"
    )]
    Fixed {
        /// The parameter.
        parameter: Parameter,
        /// The attribute.
        path: Excerpt,
    },
    /// Selectors that contradict one another (MEC 009, table 6.18.3-1).
    #[error("{one} cannot be combined with {other}; leave one out")]
    Combination {
        /// One parameter.
        one: Parameter,
        /// The other.
        other: Parameter,
    },
    /// Not a marker of this list and filter.
    #[error(
        "nextpage_opaque_marker {marker} was not given out for this list and filter; begin again without it"
    )]
    Marker {
        /// What was sent.
        marker: Excerpt,
    },
}
