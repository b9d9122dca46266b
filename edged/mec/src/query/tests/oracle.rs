//! Filters against a second evaluator that is slow, plain and written another way round: it first lays out everything
//! that an expression could mean, and then looks.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ask, filtered};

type Term = (&'static str, &'static str, Vec<String>);

/// Every value that stands at a path, arrays laid out flat.
fn laid_out<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![value];
    for name in path.split('/').map(Some).chain([None]) {
        let mut flat = Vec::new();
        while let Some(value) = found.pop() {
            match value {
                Value::Array(elements) => found.extend(elements),
                other => flat.push(other),
            }
        }
        found = match name {
            Some("") | None => flat,
            Some(name) => flat
                .into_iter()
                .filter_map(|value| value.get(name))
                .collect(),
        };
    }
    found
}

fn compares(operator: &str, found: &Value, wanted: &[String]) -> bool {
    let order = |wanted: &String| match found {
        Value::String(text) => text.partial_cmp(wanted),
        Value::Number(number) => number.as_f64().partial_cmp(&wanted.parse().ok()),
        Value::Bool(flag) => flag.to_string().partial_cmp(wanted),
        _ => None,
    };
    let Some(first) = wanted.first().and_then(order) else {
        return false;
    };
    let equal = wanted
        .iter()
        .any(|wanted| order(wanted).is_some_and(std::cmp::Ordering::is_eq));
    let contains = wanted
        .iter()
        .any(|wanted| found.as_str().is_some_and(|text| text.contains(wanted)));
    match operator {
        "eq" | "in" => equal,
        "neq" | "nin" => !equal,
        "gt" => first.is_gt(),
        "gte" => first.is_ge(),
        "lt" => first.is_lt(),
        "lte" => first.is_le(),
        "cont" => contains,
        "ncont" => !contains,
        other => panic!("{other}"),
    }
}

fn matches(terms: &[Term], row: &Value) -> bool {
    let split = |path: &'static str| path.rsplit_once('/').unwrap_or(("", path));
    let prefixes: BTreeSet<&str> = terms.iter().map(|(_, path, _)| split(path).0).collect();
    prefixes.into_iter().all(|prefix| {
        laid_out(row, prefix).into_iter().any(|object| {
            let own = terms.iter().filter(|(_, path, _)| split(path).0 == prefix);
            own.into_iter()
                .all(|(operator, path, wanted)| match split(path).1 {
                    "@key" => object.as_object().is_some_and(|map| {
                        map.keys()
                            .any(|key| compares(operator, &json!(key), wanted))
                    }),
                    leaf => laid_out(object, leaf).into_iter().any(|found| {
                        found.is_boolean() == (leaf == "ok") && compares(operator, found, wanted)
                    }),
                })
        })
    })
}

const OF_TEXTS: &[&str] = &[
    "eq", "neq", "gt", "gte", "lt", "lte", "in", "nin", "cont", "ncont",
];

fn term() -> impl Strategy<Value = Term> {
    let attribute = proptest::sample::select(vec![
        ("id", "text"),
        ("tags", "text"),
        ("data/@key", "text"),
        ("data/a", "text"),
        ("parts/box/note", "text"),
        ("weight", "number"),
        ("parts/id", "number"),
        ("parts/box/pins", "number"),
        ("links/a/port", "number"),
        ("colour", "enumeration"),
        ("parts/colour", "enumeration"),
        ("ok", "boolean"),
    ]);
    attribute.prop_flat_map(|(path, kind)| {
        let (operators, value) = match kind {
            "text" => (OF_TEXTS, "[ab]{0,2}"),
            "number" => (&OF_TEXTS[..8], "-?[0-3](\\.5)?"),
            "enumeration" => (&["eq", "neq", "in", "nin"][..], "red|green|blue"),
            _ => (&["eq", "neq"][..], "true|false"),
        };
        let operator = proptest::sample::select(operators);
        (operator, proptest::collection::vec(value, 1..4)).prop_map(
            move |(operator, mut values)| {
                if !["in", "nin", "cont", "ncont"].contains(&operator) {
                    values.truncate(1);
                }
                (operator, path, values)
            },
        )
    })
}

fn text() -> impl Strategy<Value = Value> {
    "[ab]{0,2}".prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3..4_i64).prop_map(Value::from),
        (-6..7_i32).prop_map(|n| json!(f64::from(n) / 2.0))
    ]
}

/// Mostly what the schema says, sometimes nothing, null or something else.
fn maybe(usual: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        8 => usual.prop_map(Some),
        1 => Just(None),
        1 => Just(Some(Value::Null)),
    ]
}

fn object(
    members: Vec<(&'static str, BoxedStrategy<Option<Value>>)>,
) -> impl Strategy<Value = Value> {
    let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    values.prop_map(move |values| {
        let members = names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(members.collect())
    })
}

fn array(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::vec(of, 0..4).prop_map(Value::Array)
}

fn row() -> impl Strategy<Value = Value> {
    let colour = || proptest::sample::select(vec!["red", "green", "blue"]).prop_map(Value::from);
    let inner = || {
        object(vec![
            ("note", maybe(text()).boxed()),
            ("pins", maybe(array(number())).boxed()),
        ])
    };
    let part = object(vec![
        ("id", maybe(number()).boxed()),
        ("colour", maybe(colour()).boxed()),
        ("box", maybe(inner()).boxed()),
    ]);
    let data = object(vec![
        ("a", maybe(text()).boxed()),
        ("b", maybe(number()).boxed()),
    ]);
    let link = object(vec![("port", maybe(number()).boxed())]);
    object(vec![
        ("id", maybe(text()).boxed()),
        ("weight", maybe(number()).boxed()),
        ("colour", maybe(colour()).boxed()),
        ("ok", maybe(any::<bool>().prop_map(Value::from)).boxed()),
        ("tags", maybe(array(text())).boxed()),
        ("parts", maybe(array(part)).boxed()),
        ("data", maybe(data).boxed()),
        (
            "links",
            maybe(object(vec![("a", maybe(link).boxed())])).boxed(),
        ),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_filter_picks_what_a_plain_evaluator_picks(
        terms in proptest::collection::vec(term(), 1..5),
        rows in proptest::collection::vec(row(), 1..8),
    ) {
        let filter: Vec<String> = terms
            .iter()
            .map(|(operator, path, values)| format!("({operator},{path},{})", values.join(",")))
            .collect();
        let mut parameters = filtered(&filter.join(";"));
        parameters.all_fields = true;
        let picked = ask(&parameters, &rows).unwrap().items;
        let expected: Vec<Value> = rows.into_iter().filter(|row| matches(&terms, row)).collect();
        prop_assert_eq!(picked, expected);
    }
}
