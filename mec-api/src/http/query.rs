//! The query: known names, decoded once.

use std::str::FromStr;

use crate::Problem;

/// The parameters of a query, all of them known by name.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `text`, of which only `known` names may be there.
    ///
    /// # Errors
    /// 400 for an unknown name and for what is not percent-encoded UTF-8.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if !known.contains(&name.as_str()) {
                let permitted = match known {
                    [] => "this resource takes none".to_owned(),
                    known => format!("use {}", known.join(", ")),
                };
                return Err(Problem::bad_request(format!(
                    "query: there is no parameter `{}`; {permitted}",
                    name.escape_debug()
                )));
            }
            pairs.push((name, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A parameter that may be given once.
    ///
    /// # Errors
    /// 400 when it is repeated or has another type.
    pub fn one<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::bad_request(format!(
                "query: {name} is given twice"
            )));
        }
        first.map(|value| typed(name, value)).transpose()
    }

    /// A parameter that may be given several times; nothing when it is not given.
    ///
    /// # Errors
    /// 400 when one has another type.
    pub fn many<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<Vec<T>>, Problem> {
        let values: Result<Vec<T>, _> = self.values(name).map(|it| typed(name, it)).collect();
        values.map(|values| (!values.is_empty()).then_some(values))
    }

    /// A parameter that counts by being there, whatever its value.
    ///
    /// # Errors
    /// 400 when it is repeated.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        self.one::<String>(name).map(|value| value.is_some())
    }
}

fn typed<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|error| Problem::bad_request(format!("query: {name}: {error}")))
}

/// Whether each % begins an escape; the router decodes them and lets others pass.
///
/// # Errors
/// 400 when one does not.
pub(super) fn escapes(text: &str, place: &str) -> Result<(), Problem> {
    let whole = |rest: &str| {
        let mut bytes = rest.bytes();
        let mut digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        digit() && digit()
    };
    if text.split('%').skip(1).all(whole) {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "{place}: a % has to be followed by two hexadecimal digits"
    )))
}

/// A name or a value: + is a blank, %XX a byte.
fn decoded(text: &str) -> Result<String, Problem> {
    escapes(text, "query")?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(rest.next()) << 4 | hexadecimal(rest.next()),
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("query: it is not UTF-8"))
}

/// The value of a digit that `escapes` has seen.
fn hexadecimal(digit: Option<u8>) -> u8 {
    match digit {
        Some(digit @ b'0'..=b'9') => digit - b'0',
        Some(digit @ b'a'..=b'f') => digit - b'a' + 10,
        Some(digit @ b'A'..=b'F') => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse("na%6De=a+b%26&name=%C3%A4", &["name"]).unwrap();
        let values: Vec<String> = query.many("name").unwrap().unwrap();
        assert_eq!(values, ["a b&", "\u{e4}"]);
    }

    #[test]
    fn a_single_parameter_is_given_once() {
        let query = Query::parse("local=true&local=true", &["local"]).unwrap();
        assert!(query.one::<bool>("local").is_err());
        assert!(query.flag("local").is_err());
    }

    #[test]
    fn a_flag_counts_by_being_there() {
        let query = Query::parse("all_fields", &["all_fields"]).unwrap();
        assert_eq!(query.flag("all_fields"), Ok(true));
        assert_eq!(query.flag("other"), Ok(false));
    }

    #[test]
    fn another_type_is_refused_with_the_name() {
        let query = Query::parse("local=yes", &["local"]).unwrap();
        let problem = query.one::<bool>("local").unwrap_err();
        assert!(problem.detail().starts_with("query: local: "), "{problem}");
    }

    #[test]
    fn unknown_names_and_broken_escapes_are_refused() {
        for text in [
            "other=1", "name=%", "name=%4", "name=%zz", "name=%ff", "name=%+1",
        ] {
            assert!(Query::parse(text, &["name"]).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_an_empty_query() {
        assert!(Query::parse("&&", &[]).unwrap().0.is_empty());
    }
}
