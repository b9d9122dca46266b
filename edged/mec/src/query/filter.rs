//! What a filter means (MEC 009, 6.19): expressions with the types that the schema gives, tried on a row.

use std::cmp::Ordering;

use serde_json::{Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{Excerpt, Parameter, QueryError};
use super::expression::{self, Expression, Operator};
use super::path::{AttributePath, Segment};
use super::schema::{ListSchema, Miss, Scalar};

/// Conditions that all have to hold.
#[derive(Debug)]
pub(super) struct Filter {
    groups: Vec<Group>,
}

/// The conditions with one attribute prefix: they have to hold in the same object, where arrays on the way give a
/// choice.
#[derive(Debug)]
struct Group {
    prefix: Vec<Segment>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Condition {
    leaf: Segment,
    operator: Operator,
    operands: Operands,
}

/// The values, in the type of the attribute.
#[derive(Debug)]
enum Operands {
    Texts(Vec<String>),
    Numbers(Vec<Number>),
    Moments(Vec<OffsetDateTime>),
    Booleans(Vec<bool>),
}

impl Filter {
    /// # Errors
    /// When the text is not a filter, or does not fit the schema.
    pub(super) fn parse(text: &str, schema: &ListSchema) -> Result<Self, QueryError> {
        let mut groups: Vec<Group> = Vec::new();
        for expression in expression::parse(text)? {
            let scalar = scalar(&expression.path, schema)?;
            let operands = Operands::read(&expression, scalar)?;
            let AttributePath { prefix, leaf } = expression.path;
            let condition = Condition {
                leaf,
                operator: expression.operator,
                operands,
            };
            match groups.iter_mut().find(|group| group.prefix == prefix) {
                Some(group) => group.conditions.push(condition),
                None => groups.push(Group {
                    prefix,
                    conditions: vec![condition],
                }),
            }
        }
        Ok(Self { groups })
    }

    /// Whether a row satisfies it.
    pub(super) fn matches(&self, row: &Value) -> bool {
        self.groups
            .iter()
            .all(|group| reaches(row, &group.prefix, &group.conditions))
    }
}

/// Whether some object at the end of the prefix satisfies all conditions.
fn reaches(value: &Value, prefix: &[Segment], conditions: &[Condition]) -> bool {
    if let Value::Array(elements) = value {
        return elements
            .iter()
            .any(|element| reaches(element, prefix, conditions));
    }
    match prefix.split_first() {
        None => conditions.iter().all(|condition| condition.holds_in(value)),
        Some((Segment::Name(name), rest)) => value
            .get(name)
            .is_some_and(|member| reaches(member, rest, conditions)),
        // A key is a text and has nothing inside; the schema knows no such path.
        Some((Segment::Key, _)) => false,
    }
}

fn scalar(path: &AttributePath, schema: &ListSchema) -> Result<Scalar, QueryError> {
    schema.scalar(path).map_err(|miss| match miss {
        Miss::Unknown => QueryError::Unknown {
            parameter: Parameter::Filter,
            path: Excerpt::of(path),
            list: schema.name,
        },
        Miss::Structured => QueryError::Structured {
            path: Excerpt::of(path),
        },
    })
}

impl Condition {
    fn holds_in(&self, object: &Value) -> bool {
        match &self.leaf {
            Segment::Name(name) => object.get(name).is_some_and(|value| self.holds_for(value)),
            Segment::Key => object
                .as_object()
                .is_some_and(|map| map.keys().any(|key| self.holds_for_text(key))),
        }
    }

    fn holds_for(&self, value: &Value) -> bool {
        if let Value::Array(elements) = value {
            return elements.iter().any(|element| self.holds_for(element));
        }
        match (&self.operands, value) {
            (Operands::Numbers(operands), Value::Number(number)) => {
                self.decide(operands.iter().map(|operand| compare(number, operand)))
            }
            (Operands::Booleans(operands), Value::Bool(flag)) => {
                self.decide(operands.iter().map(|operand| Some(flag.cmp(operand))))
            }
            (Operands::Moments(operands), Value::String(text)) => {
                let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) else {
                    return false;
                };
                self.decide(operands.iter().map(|operand| Some(moment.cmp(operand))))
            }
            (_, Value::String(text)) => self.holds_for_text(text),
            _ => false,
        }
    }

    fn holds_for_text(&self, text: &str) -> bool {
        let Operands::Texts(operands) = &self.operands else {
            return false;
        };
        let contains = || {
            operands
                .iter()
                .any(|operand| text.contains(operand.as_str()))
        };
        match self.operator {
            Operator::Cont => contains(),
            Operator::Ncont => !contains(),
            _ => self.decide(
                operands
                    .iter()
                    .map(|operand| Some(text.cmp(operand.as_str()))),
            ),
        }
    }

    /// From how the attribute stands to each value; `None` is neither before, nor after, nor equal.
    fn decide(&self, mut orders: impl Iterator<Item = Option<Ordering>>) -> bool {
        match self.operator {
            Operator::Eq | Operator::In => orders.any(|order| order == Some(Ordering::Equal)),
            Operator::Neq | Operator::Nin => orders.all(|order| order != Some(Ordering::Equal)),
            Operator::Gt => orders.any(|order| order.is_some_and(Ordering::is_gt)),
            Operator::Gte => orders.any(|order| order.is_some_and(Ordering::is_ge)),
            Operator::Lt => orders.any(|order| order.is_some_and(Ordering::is_lt)),
            Operator::Lte => orders.any(|order| order.is_some_and(Ordering::is_le)),
            // Only texts contain something, and they are decided before.
            Operator::Cont | Operator::Ncont => false,
        }
    }
}

impl Operands {
    fn read(expression: &Expression, scalar: Scalar) -> Result<Self, QueryError> {
        let Expression {
            operator,
            path,
            values,
        } = expression;
        if !scalar.takes(*operator) {
            let allowed: Vec<&str> = Operator::ALL
                .into_iter()
                .filter(|operator| scalar.takes(*operator))
                .map(Operator::name)
                .collect();
            return Err(QueryError::Inapplicable {
                operator: *operator,
                path: Excerpt::of(path),
                kind: scalar.kind(),
                allowed: allowed.join(", "),
            });
        }
        let wrong = |value: &String| QueryError::Value {
            path: Excerpt::of(path),
            value: Excerpt::of(value),
            expected: match scalar {
                Scalar::Enumeration(names) => format!("one of {}", names.join(", ")),
                other => other.kind().to_owned(),
            },
        };
        let each = values.iter();
        Ok(match scalar {
            Scalar::Text => Self::Texts(values.clone()),
            Scalar::Number => Self::Numbers(
                each.map(|v| number(v).ok_or_else(|| wrong(v)))
                    .collect::<Result<_, _>>()?,
            ),
            Scalar::DateTime => Self::Moments(
                each.map(|v| OffsetDateTime::parse(v, &Rfc3339).map_err(|_| wrong(v)))
                    .collect::<Result<_, _>>()?,
            ),
            Scalar::Boolean => Self::Booleans(
                each.map(|v| v.parse().map_err(|_| wrong(v)))
                    .collect::<Result<_, _>>()?,
            ),
            Scalar::Enumeration(names) => {
                if let Some(value) = each.clone().find(|v| !names.contains(&v.as_str())) {
                    return Err(wrong(value));
                }
                Self::Texts(values.clone())
            }
        })
    }
}

/// A number of RFC 8259, without the white space that JSON would allow around it.
fn number(text: &str) -> Option<Number> {
    let is_bare = !text.contains(|character: char| character.is_ascii_whitespace());
    is_bare.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Whole numbers exactly, others as the doubles that JSON numbers are in practice (RFC 8259, section 6).
fn compare(one: &Number, other: &Number) -> Option<Ordering> {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

impl Scalar {
    /// Whether the operator exists for this type (MEC 009, table 6.19.2-2).
    pub(super) const fn takes(self, operator: Operator) -> bool {
        use Operator::{Cont, Eq, Gt, Gte, In, Lt, Lte, Ncont, Neq, Nin};
        match self {
            Self::Text => true,
            Self::Number => !matches!(operator, Cont | Ncont),
            Self::DateTime => matches!(operator, Gt | Gte | Lt | Lte),
            Self::Enumeration(_) => matches!(operator, Eq | Neq | In | Nin),
            Self::Boolean => matches!(operator, Eq | Neq),
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::DateTime => "a date and time (RFC 3339)",
            Self::Enumeration(_) => "an enumeration",
            Self::Boolean => "true or false",
        }
    }
}
