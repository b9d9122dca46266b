//! The form of a filter: `(op,attribute/part,value);(op,...)` (MEC 009, 6.19.2). What it means is in `filter`.

use std::fmt;

use super::error::{Excerpt, Parameter, QueryError};
use super::path::AttributePath;

/// Bytes of a filter, decoded. Every one of them may become three in the Link of the next page, and that has to fit
/// the 8,192 bytes of a URI together with the selectors and the marker.
pub const FILTER_BYTES: usize = 2048;
/// Expressions in a filter: more than a list of ours has attributes worth asking about, few enough to try on every row.
pub const EXPRESSIONS: usize = 16;
/// Values of one expression: a page of names, so that a client can ask again about what it was shown.
pub const VALUES: usize = 100;

/// How an attribute is compared (MEC 009, table 6.19.2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Equal to the value.
    Eq,
    /// Not equal to the value.
    Neq,
    /// Greater than the value.
    Gt,
    /// Less than the value.
    Lt,
    /// Greater than or equal to the value.
    Gte,
    /// Less than or equal to the value.
    Lte,
    /// Equal to one of the values.
    In,
    /// Equal to none of the values.
    Nin,
    /// Contains one of the values.
    Cont,
    /// Contains none of the values.
    Ncont,
}

impl Operator {
    /// All of them, in the order of the standard's table.
    pub const ALL: [Self; 10] = [
        Self::Eq,
        Self::Neq,
        Self::In,
        Self::Nin,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::Cont,
        Self::Ncont,
    ];

    /// Its name in a filter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Gte => "gte",
            Self::Lte => "lte",
            Self::In => "in",
            Self::Nin => "nin",
            Self::Cont => "cont",
            Self::Ncont => "ncont",
        }
    }

    /// Whether it takes several values.
    pub(super) const fn takes_several(self) -> bool {
        matches!(self, Self::In | Self::Nin | Self::Cont | Self::Ncont)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One expression, not yet compared with a schema. There is at least one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) operator: Operator,
    pub(super) path: AttributePath,
    pub(super) values: Vec<String>,
}

/// The expressions of a filter: at least one, at most [`EXPRESSIONS`].
///
/// # Errors
/// When the text is not of the form, or beyond a bound.
pub(super) fn parse(text: &str) -> Result<Vec<Expression>, QueryError> {
    if text.len() > FILTER_BYTES {
        return Err(QueryError::TooLong {
            parameter: Parameter::Filter,
            bytes: text.len(),
            limit: FILTER_BYTES,
        });
    }
    let mut expressions = Vec::new();
    let mut rest = text;
    loop {
        let (expression, tail) = Expression::parse(rest)?;
        expressions.push(expression);
        if tail.is_empty() {
            return Ok(expressions);
        }
        rest = tail
            .strip_prefix(';')
            .ok_or_else(|| malformed(tail, "; and another expression, or the end"))?;
        if expressions.len() >= EXPRESSIONS {
            return Err(too_many("expressions", EXPRESSIONS));
        }
    }
}

impl Expression {
    /// The expression that `text` begins with, and what follows it.
    fn parse(text: &str) -> Result<(Self, &str), QueryError> {
        let rest = text
            .strip_prefix('(')
            .ok_or_else(|| malformed(text, "an expression such as (eq,attribute,value)"))?;
        let named = rest.split_once(',').and_then(|(name, rest)| {
            let operator = Operator::ALL
                .into_iter()
                .find(|operator| operator.name() == name)?;
            Some((operator, rest))
        });
        let (operator, rest) = named.ok_or_else(|| {
            malformed(
                rest,
                "eq, neq, gt, lt, gte, lte, in, nin, cont or ncont, and a comma",
            )
        })?;
        let (path, rest) = rest
            .split_once(',')
            .ok_or_else(|| malformed(rest, "an attribute, a comma and a value"))?;
        let path = AttributePath::parse(path, Parameter::Filter)?;
        let (value, mut rest) = value(rest)?;
        let mut values = vec![value];
        while let Some(tail) = rest.strip_prefix(',') {
            if !operator.takes_several() {
                let path = Excerpt::of(path);
                return Err(QueryError::Several { operator, path });
            }
            if values.len() >= VALUES {
                return Err(too_many("values in one expression", VALUES));
            }
            let (value, tail) = self::value(tail)?;
            values.push(value);
            rest = tail;
        }
        let rest = rest
            .strip_prefix(')')
            .ok_or_else(|| malformed(rest, "a comma or a closing parenthesis"))?;
        let expression = Self {
            operator,
            path,
            values,
        };
        Ok((expression, rest))
    }
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Result<(String, &str), QueryError> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let end = text
            .find([',', ')', '\''])
            .ok_or_else(|| malformed(text, "a value and a closing parenthesis"))?;
        let (value, rest) = text.split_at(end);
        if rest.starts_with('\'') {
            return Err(malformed(
                text,
                "single quotes around a value with a quote in it",
            ));
        }
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    loop {
        let (part, tail) = rest
            .split_once('\'')
            .ok_or_else(|| malformed(text, "a closing single quote"))?;
        value.push_str(part);
        let Some(tail) = tail.strip_prefix('\'') else {
            return Ok((value, tail));
        };
        value.push('\'');
        rest = tail;
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{}", self.operator, self.path)?;
        for value in &self.values {
            if value.contains([',', ')', '\'']) {
                write!(f, ",'{}'", value.replace('\'', "''"))?;
            } else {
                write!(f, ",{value}")?;
            }
        }
        f.write_str(")")
    }
}

fn malformed(rest: &str, expected: &'static str) -> QueryError {
    QueryError::Malformed {
        parameter: Parameter::Filter,
        rest: Excerpt::of(rest),
        expected,
    }
}

fn too_many(parts: &'static str, limit: usize) -> QueryError {
    QueryError::TooMany {
        parameter: Parameter::Filter,
        parts,
        limit,
    }
}
