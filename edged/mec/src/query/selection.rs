//! Attribute selectors (MEC 009, 6.18): which optional structured attributes are in the answer.

use serde_json::Value;

use super::ListParameters;
use super::error::{Excerpt, Parameter, QueryError};
use super::path::AttributePath;
use super::schema::{Attribute, ListSchema, find};

/// Bytes of `fields` or `exclude_fields`, decoded: all that any list of ours has, several times over. They come back,
/// escaped, in the Link of the next page, which has to fit a URI.
pub const SELECTOR_BYTES: usize = 512;
/// Attributes in one of them: as above.
pub const SELECTORS: usize = 32;

/// Which attributes an answer has.
#[derive(Debug)]
pub(super) struct Selection {
    rule: Rule,
    paths: Vec<Vec<&'static str>>,
}

/// What becomes of an optional structured attribute; the lines of MEC 009, table 6.18.3-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// It stays.
    All,
    /// It stays if it is listed.
    Listed,
    /// It stays unless it is listed.
    Unlisted,
    /// It stays unless it is left out by default and not listed.
    Default,
}

/// How an attribute stands to the paths listed.
enum Standing {
    Listed,
    /// Something inside it is.
    Above,
    Apart,
}

enum Fate {
    Drop,
    Keep,
    /// It stays, and what is inside is looked at by this rule.
    Inside(Rule),
}

impl Selection {
    /// # Errors
    /// When the selectors contradict one another, or name what cannot be selected.
    pub(super) fn parse(
        parameters: &ListParameters,
        schema: &ListSchema,
    ) -> Result<Self, QueryError> {
        let fields = parameters.fields.as_deref();
        let exclude = parameters.exclude_fields.as_deref();
        let given = [
            (Parameter::AllFields, parameters.all_fields),
            (Parameter::Fields, fields.is_some()),
            (Parameter::ExcludeFields, exclude.is_some()),
            (Parameter::ExcludeDefault, parameters.exclude_default),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(one, is_given)| is_given.then_some(one));
        let (rule, paths) = match (given.next(), given.next(), given.next()) {
            (Some(Parameter::Fields), Some(Parameter::ExcludeDefault), None) => {
                (Rule::Default, paths(Parameter::Fields, fields, schema)?)
            }
            (Some(one), Some(other), _) => return Err(QueryError::Combination { one, other }),
            (Some(Parameter::AllFields), ..) => (Rule::All, Vec::new()),
            (Some(Parameter::Fields), ..) => {
                (Rule::Listed, paths(Parameter::Fields, fields, schema)?)
            }
            (Some(Parameter::ExcludeFields), ..) => (
                Rule::Unlisted,
                paths(Parameter::ExcludeFields, exclude, schema)?,
            ),
            _ => (Rule::Default, Vec::new()),
        };
        Ok(Self { rule, paths })
    }

    /// Takes out of a row what is not asked for.
    pub(super) fn apply(&self, row: &mut Value, schema: &ListSchema) {
        self.prune(row, schema.attributes, self.rule, &mut Vec::new());
    }

    fn prune(
        &self,
        value: &mut Value,
        attributes: &'static [Attribute],
        rule: Rule,
        path: &mut Vec<&'static str>,
    ) {
        match value {
            Value::Array(elements) => {
                for element in elements {
                    self.prune(element, attributes, rule, path);
                }
            }
            Value::Object(members) => members.retain(|name, member| {
                // What the schema does not describe is not ours to take away.
                let Some(attribute) = find(attributes, name) else {
                    return true;
                };
                path.push(attribute.name);
                let fate = self.fate(attribute, rule, path);
                if let (Fate::Inside(rule), Some(inner)) = (&fate, attribute.shape.attributes()) {
                    self.prune(member, inner, *rule, path);
                }
                path.pop();
                !matches!(fate, Fate::Drop)
            }),
            _ => {}
        }
    }

    fn fate(&self, attribute: &Attribute, rule: Rule, path: &[&'static str]) -> Fate {
        let is_in_question = match rule {
            Rule::All => return Fate::Keep,
            Rule::Default => attribute.is_left_out(),
            Rule::Listed | Rule::Unlisted => attribute.is_selectable(),
        };
        if !is_in_question {
            return Fate::Inside(rule);
        }
        match (rule, self.standing(path)) {
            (Rule::Unlisted, Standing::Listed) => Fate::Drop,
            (Rule::Unlisted, _) => Fate::Inside(rule),
            (_, Standing::Listed) => Fate::Keep,
            // It is here only for what is listed inside.
            (_, Standing::Above) => Fate::Inside(Rule::Listed),
            (_, Standing::Apart) => Fate::Drop,
        }
    }

    fn standing(&self, path: &[&'static str]) -> Standing {
        if self.paths.iter().any(|listed| listed.as_slice() == path) {
            Standing::Listed
        } else if self.paths.iter().any(|listed| listed.starts_with(path)) {
            Standing::Above
        } else {
            Standing::Apart
        }
    }
}

fn paths(
    parameter: Parameter,
    text: Option<&str>,
    schema: &ListSchema,
) -> Result<Vec<Vec<&'static str>>, QueryError> {
    let text = text.unwrap_or_default();
    if text.len() > SELECTOR_BYTES {
        return Err(QueryError::TooLong {
            parameter,
            bytes: text.len(),
            limit: SELECTOR_BYTES,
        });
    }
    let mut paths = Vec::new();
    for name in text.split(',') {
        if paths.len() >= SELECTORS {
            return Err(QueryError::TooMany {
                parameter,
                parts: "attributes",
                limit: SELECTORS,
            });
        }
        let path = AttributePath::parse(name, parameter)?;
        let (names, attribute) = schema.attribute(&path).ok_or_else(|| QueryError::Unknown {
            parameter,
            path: Excerpt::of(&path),
            list: schema.name,
        })?;
        if !attribute.is_selectable() {
            let path = Excerpt::of(&path);
            return Err(QueryError::Fixed { parameter, path });
        }
        paths.push(names);
    }
    Ok(paths)
}
