//! The form of filters: quotes, escapes, bounds, and that nothing breaks the parser.

use proptest::prelude::*;
use serde_json::json;

use super::super::expression::{self, EXPRESSIONS, FILTER_BYTES, VALUES};
use super::super::path::{AttributePath, PATH_SEGMENTS};
use super::super::{ListParameters, Parameter};
use super::{ask, holds, refusal};

#[test]
fn quotes_hold_what_would_end_a_value() {
    for (written, meant) in [
        ("plain", "plain"),
        ("'plain'", "plain"),
        ("''", ""),
        ("", ""),
        ("'a,b)c'", "a,b)c"),
        ("'it''s'", "it's"),
        ("''''", "'"),
        ("a;b(c", "a;b(c"),
        ("grün", "grün"),
    ] {
        assert!(
            holds(&format!("(eq,id,{written})"), &json!({"id": meant})),
            "{written}"
        );
        assert!(holds(
            &format!("(in,id,x,{written});(cont,id,{written})"),
            &json!({"id": meant})
        ));
    }
}

#[test]
fn escapes_name_what_would_end_a_name() {
    assert!(holds("(eq,a~1b~ac~bd~0e,1)", &json!({"a/b,c@d~e": "1"})));
    for wrong in ["a~", "a~2", "a~c", "a@b", "@", "@Key"] {
        assert!(
            refusal(&format!("(eq,{wrong},1)")).contains("malformed"),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_not_a_filter_is_refused_where_it_goes_wrong() {
    for (filter, place) in [
        ("", "``"),
        ("eq,id,1", "`eq,id,1`"),
        ("(", "``"),
        ("(eq", "`eq`"),
        ("(is,id,1)", "`is,id,1)`"),
        ("(EQ,id,1)", "`EQ,id,1)`"),
        ("(eq,id", "`id`"),
        ("(eq,id)", "`id)`"),
        ("(eq,,1)", "``"),
        ("(eq,id/,1)", "``"),
        ("(eq,/id,1)", "``"),
        ("(eq,id,1", "`1`"),
        ("(eq,id,'1", "`'1`"),
        ("(eq,id,'1'2)", "`2)`"),
        ("(eq,id,1'2)", "`1'2)`"),
        ("(eq,id,1);", "``"),
        ("(eq,id,1),(eq,id,1)", "`,(eq,id,1)`"),
        ("(eq,id,1) ", "` `"),
    ] {
        let refusal = refusal(filter);
        assert!(
            refusal.contains("malformed") && refusal.contains(place),
            "{filter}: {refusal}"
        );
    }
}

#[test]
fn a_refusal_repeats_only_the_beginning_of_what_is_wrong() {
    let refusal = refusal(&"ü".repeat(1000));
    assert!(refusal.contains('…') && refusal.len() < 250, "{refusal}");
}

#[test]
fn every_bound_is_reached_and_not_passed() {
    let one = "(eq,id,1)";
    let many = |count: usize| vec![one; count].join(";");
    assert!(ask(&super::filtered(&many(EXPRESSIONS)), &[]).is_ok());
    assert!(refusal(&many(EXPRESSIONS + 1)).contains("expressions"));
    let values = |count: usize| format!("(in,id{})", ",x".repeat(count));
    assert!(ask(&super::filtered(&values(VALUES)), &[]).is_ok());
    assert!(refusal(&values(VALUES + 1)).contains("values"));
    let long = |bytes: usize| format!("(eq,id,{})", "x".repeat(bytes - one.len() + 1));
    assert!(ask(&super::filtered(&long(FILTER_BYTES)), &[]).is_ok());
    assert!(refusal(&long(FILTER_BYTES + 1)).contains("2049 bytes"));
    let deep = |names: usize| AttributePath::parse(&vec!["a"; names].join("/"), Parameter::Filter);
    assert!(deep(PATH_SEGMENTS).is_ok() && deep(PATH_SEGMENTS + 1).is_err());
}

/// Texts that are nearly filters, so that the parser gets further than its first line.
fn nearly_a_filter() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "(", ")", ",", ";", "'", "''", "/", "~", "~1", "@key", "eq", "in", "cont", "gt", "id",
            "weight", "parts", "box", "data", "made", "1", "-1e5", "red", "é", "(eq,id,", "all",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn optional() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(prop_oneof![
        nearly_a_filter(),
        any::<String>(),
        Just(String::new())
    ])
}

proptest! {
    #[test]
    fn no_text_makes_a_list_panic(
        filter in optional(), all in any::<bool>(), fields in optional(), without in optional(),
        default in any::<bool>(), marker in optional(), other in any::<String>(), target in any::<String>(),
    ) {
        let parameters = ListParameters {
            filter,
            all_fields: all,
            fields,
            exclude_fields: without,
            exclude_default: default,
            nextpage_opaque_marker: marker,
            others: vec![("other", other)],
        };
        let rows = [json!({"id": "1", "parts": [{"id": 1}]}), json!(null), json!([[]])];
        if let Err(error) = ask(&parameters, &rows) {
            prop_assert!(error.to_string().len() < 400);
        }
        let link = super::super::paging::link(&target, &parameters, "m");
        prop_assert!(fits_a_header(&link), "{link}");
    }

    #[test]
    fn what_is_parsed_is_printed_and_parsed_again_the_same(text in nearly_a_filter()) {
        if let Ok(expressions) = expression::parse(&text) {
            let printed: Vec<String> = expressions.iter().map(ToString::to_string).collect();
            prop_assert_eq!(expression::parse(&printed.join(";")), Ok(expressions));
        }
    }

    #[test]
    fn every_name_and_value_survives_printing(
        operator in proptest::sample::select(super::super::Operator::ALL.to_vec()),
        names in proptest::collection::vec("[a-c@~/,)'; é]{1,5}", 1..4),
        values in proptest::collection::vec("[a-c@~/,)'; é]{0,5}", 1..4),
    ) {
        let escaped: Vec<String> = names
            .iter()
            .map(|name| {
                name.replace('~', "~0").replace('/', "~1").replace(',', "~a").replace('@', "~b")
            })
            .collect();
        let count = if operator.takes_several() { values.len() } else { 1 };
        let quoted: Vec<String> =
            values[..count].iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        let text = format!("({operator},{},{})", escaped.join("/"), quoted.join(","));
        let parsed = expression::parse(&text).unwrap();
        prop_assert_eq!(&parsed[0].values[..], &values[..count]);
        let segments: Vec<String> = parsed[0].path.segments().map(|part| match part {
            super::super::path::Segment::Name(name) => name.clone(),
            super::super::path::Segment::Key => "@key".to_owned(),
        }).collect();
        prop_assert_eq!(segments, names);
        prop_assert_eq!(expression::parse(&parsed[0].to_string()).unwrap(), parsed);
    }
}

/// What a header's value may have in it (RFC 9110, 5.5), without what is obsolete.
fn fits_a_header(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
