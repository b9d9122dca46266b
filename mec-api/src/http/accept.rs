//! Which form of an answer the client takes (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::Problem;
use crate::problem::PROBLEM_JSON;

/// A form that an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `text/plain`
    Text,
    /// `application/zip`
    Zip,
}

impl MediaType {
    /// Its name in headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain",
            Self::Zip => "application/zip",
        }
    }
}

/// The form that the client likes best; among equals the first that the document lists, JSON before all.
///
/// An operation without content has nothing to choose, and still has to be able to send a problem.
///
/// # Errors
/// 406 when it takes none.
pub(super) fn choose(headers: &HeaderMap, offered: &[MediaType]) -> Result<MediaType, Problem> {
    let lines: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    let mut ordered = offered.to_vec();
    ordered.sort_by_key(|form| *form != MediaType::Json);
    if !headers.contains_key(ACCEPT) {
        return Ok(ordered.first().copied().unwrap_or(MediaType::Json));
    }
    let ranges: Vec<Range<'_>> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .filter_map(Range::parse)
        .collect();
    if offered.is_empty() {
        let takes = |name| quality(&ranges, name) > 0;
        if takes(MediaType::Json.as_str()) || takes(PROBLEM_JSON) {
            return Ok(MediaType::Json);
        }
    }
    let mut best = None;
    for form in ordered {
        let quality = quality(&ranges, form.as_str());
        if quality > best.map_or(0, |(_, best)| best) {
            best = Some((form, quality));
        }
    }
    best.map(|(form, _)| form).ok_or_else(|| {
        let names: Vec<&str> = offered.iter().map(|form| form.as_str()).collect();
        let names = if names.is_empty() {
            PROBLEM_JSON.to_owned()
        } else {
            names.join(", ")
        };
        Problem::not_acceptable(format!("Accept: only {names} is offered here"))
    })
}

/// One media range with its weight in thousandths.
struct Range<'a> {
    kind: &'a str,
    subkind: &'a str,
    weight: u32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut pieces = text.split(';');
        let (kind, subkind) = pieces.next()?.trim().split_once('/')?;
        let weight = pieces.find_map(|piece| {
            let (name, value) = piece.trim().split_once('=')?;
            name.eq_ignore_ascii_case("q").then(|| thousandths(value))
        });
        Some(Self {
            kind,
            subkind,
            weight: weight.unwrap_or(Some(1000))?,
        })
    }

    /// How closely it names `name`: 0 not at all, 3 exactly.
    fn closeness(&self, name: &str) -> u32 {
        let (kind, subkind) = name.split_once('/').unwrap_or((name, ""));
        match (self.kind, self.subkind) {
            ("*", "*") => 1,
            (own, "*") if own.eq_ignore_ascii_case(kind) => 2,
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subkind) => 3,
            _ => 0,
        }
    }
}

/// The weight that the closest range gives, in thousandths.
fn quality(ranges: &[Range<'_>], name: &str) -> u32 {
    let fitting = ranges.iter().filter(|range| range.closeness(name) > 0);
    fitting
        .max_by_key(|range| range.closeness(name))
        .map_or(0, |range| range.weight)
}

/// A qvalue: 0 to 1 with up to three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let text = text.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let decimals: u32 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", decimals) => Some(decimals),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::MediaType::{Json, Text, Zip};
    use super::*;

    fn chosen(accept: &str, offered: &[MediaType]) -> Option<MediaType> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        choose(&headers, offered).ok()
    }

    #[test]
    fn without_accept_json_is_sent_where_there_is_json() {
        assert_eq!(choose(&HeaderMap::new(), &[Text, Zip, Json]).unwrap(), Json);
        assert_eq!(choose(&HeaderMap::new(), &[Zip]).unwrap(), Zip);
    }

    #[test]
    fn weights_and_wildcards_choose() {
        let all = &[Text, Zip, Json];
        assert_eq!(chosen("*/*", all), Some(Json));
        assert_eq!(chosen("text/*", all), Some(Text));
        assert_eq!(
            chosen("application/*;q=0.5, text/plain;q=0.4", all),
            Some(Json)
        );
        assert_eq!(chosen("application/zip, */*;q=0.1", all), Some(Zip));
        assert_eq!(chosen("application/json;q=0, */*", all), Some(Text));
        assert_eq!(chosen("APPLICATION/ZIP;v=1;Q=1.000", all), Some(Zip));
    }

    #[test]
    fn what_cannot_be_satisfied_is_refused() {
        assert_eq!(chosen("text/html", &[Json]), None);
        assert_eq!(chosen("application/json;q=0", &[Json]), None);
        assert_eq!(chosen("application/problem+json", &[Json]), None);
        assert_eq!(chosen("rubbish", &[Json]), None);
        assert_eq!(chosen("application/json;q=7", &[Json]), None);
    }

    #[test]
    fn a_problem_is_a_form_of_an_answer_without_content() {
        assert_eq!(chosen("application/problem+json", &[]), Some(Json));
        assert_eq!(chosen("application/json", &[]), Some(Json));
        assert_eq!(chosen("text/html", &[]), None);
    }

    #[test]
    fn problems_may_stand_beside() {
        let both = "application/json, application/problem+json";
        assert_eq!(chosen(both, &[Json]), Some(Json));
    }
}
