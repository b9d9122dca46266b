//! Every operator on every type: MEC 009, table 6.19.2-2, and what the operators mean.

use serde_json::{Value, json};

use super::super::Operator;
use super::{holds, refusal};

/// For each operator: which of the columns String, Number, `DateTime`, Enumeration, Boolean have an x.
const TABLE: [(&str, [bool; 5]); 10] = [
    ("eq", [true, true, false, true, true]),
    ("neq", [true, true, false, true, true]),
    ("in", [true, true, false, true, false]),
    ("nin", [true, true, false, true, false]),
    ("gt", [true, true, true, false, false]),
    ("gte", [true, true, true, false, false]),
    ("lt", [true, true, true, false, false]),
    ("lte", [true, true, true, false, false]),
    ("cont", [true, false, false, false, false]),
    ("ncont", [true, false, false, false, false]),
];

/// For each column: the attribute, a lesser value, the value compared with, a greater one.
fn columns() -> [(&'static str, Value, Value, Value); 5] {
    [
        ("id", json!("b"), json!("c"), json!("d")),
        ("weight", json!(-2), json!(10), json!(10.5)),
        (
            "made",
            json!("2026-01-01T00:30:00+01:00"),
            json!("2026-01-01T00:00:00Z"),
            json!("2025-12-31T23:00:01-01:00"),
        ),
        ("colour", json!("blue"), json!("green"), json!("red")),
        ("ok", json!(false), json!(true), json!(true)),
    ]
}

fn written(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn each_operator_works_on_the_types_of_the_standards_table_and_on_no_other() {
    for (operator, applicable) in TABLE {
        for ((attribute, less, equal, greater), applies) in columns().into_iter().zip(applicable) {
            let filter = format!("({operator},{attribute},{})", written(&equal));
            if !applies {
                let refusal = refusal(&filter);
                assert!(
                    refusal.contains(operator) && refusal.contains(attribute),
                    "{refusal}"
                );
                continue;
            }
            let (below, same, above) = match operator {
                "eq" | "in" | "cont" => (false, true, false),
                "neq" | "nin" | "ncont" => (true, false, true),
                "gt" => (false, false, true),
                "gte" => (false, true, true),
                "lt" => (true, false, false),
                "lte" => (true, true, false),
                _ => unreachable!(),
            };
            let tried = |value: &Value| holds(&filter, &json!({ attribute: value }));
            assert_eq!(tried(&less), below, "{filter} with {less}");
            assert_eq!(tried(&equal), same, "{filter} with {equal}");
            if greater != equal {
                assert_eq!(tried(&greater), above, "{filter} with {greater}");
            }
        }
    }
}

#[test]
fn the_table_names_every_operator() {
    let named: Vec<&str> = TABLE.into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, Operator::ALL.map(Operator::name));
}

#[test]
fn sets_and_substrings_take_several_values() {
    let row = json!({"id": "camera-counter", "weight": 5});
    assert!(holds("(in,weight,4,5,6)", &row));
    assert!(!holds("(nin,weight,4,5,6)", &row));
    assert!(holds("(nin,weight,4,6)", &row));
    assert!(holds("(cont,id,microphone,camera)", &row));
    assert!(!holds("(cont,id,Camera)", &row));
    assert!(!holds("(ncont,id,microphone,camera)", &row));
    assert!(holds("(ncont,id,microphone,radar)", &row));
}

#[test]
fn numbers_are_compared_as_numbers() {
    assert!(holds("(eq,weight,5.0)", &json!({"weight": 5})));
    assert!(holds("(eq,weight,5e0)", &json!({"weight": 5})));
    assert!(holds("(gt,weight,9)", &json!({"weight": 10})));
    assert!(holds(
        "(neq,weight,9007199254740993)",
        &json!({"weight": 9_007_199_254_740_992_u64})
    ));
    assert!(holds("(lt,weight,0)", &json!({"weight": i64::MIN})));
    for value in [
        "", "five", "0x5", "05", "1e999", "NaN", " 5", "5 ", "\"5\"", "+5",
    ] {
        assert!(
            refusal(&format!("(eq,weight,{value})")).contains("not a number"),
            "{value}"
        );
    }
}

#[test]
fn a_value_that_the_type_does_not_have_is_refused() {
    assert!(refusal("(eq,colour,pink)").contains("one of red, green, blue"));
    assert!(refusal("(in,colour,red,pink)").contains("`pink`"));
    assert!(refusal("(eq,ok,yes)").contains("true or false"));
    assert!(refusal("(gt,made,2026-01-01)").contains("RFC 3339"));
    assert!(refusal("(eq,weight,1,2)").contains("several values for `weight`"));
}

#[test]
fn an_attribute_that_is_absent_null_or_of_another_type_satisfies_nothing() {
    for (operator, _) in TABLE {
        let filter = format!("({operator},id,a)");
        for row in [
            json!({}),
            json!({"id": null}),
            json!({"id": 7}),
            json!({"id": {}}),
            json!(3),
        ] {
            assert!(!holds(&filter, &row), "{filter} with {row}");
        }
    }
    assert!(!holds(
        "(gt,made,2020-01-01T00:00:00Z)",
        &json!({"made": "yesterday"})
    ));
}

#[test]
fn one_element_of_an_array_is_enough() {
    let row = json!({"tags": ["north", "gate"]});
    assert!(holds("(eq,tags,gate)", &row));
    assert!(holds("(neq,tags,gate)", &row), "north is another");
    assert!(!holds("(eq,tags,south)", &row));
    assert!(!holds("(neq,tags,gate)", &json!({"tags": []})));
    assert!(
        holds("(eq,tags,gate);(eq,tags,north)", &row),
        "each expression has its own"
    );
    assert!(holds(
        "(gt,parts/box/pins,7)",
        &json!({"parts": [{"box": {"pins": [1, 9]}}]})
    ));
}

/// The two objects and the two filters of MEC 009, 6.19.1.
#[test]
fn expressions_with_one_prefix_hold_in_one_element() {
    let first = json!({"parts": [{"id": 1, "colour": "red"}, {"id": 2, "colour": "green"}]});
    let second = json!({"parts": [{"id": 3, "colour": "green"}, {"id": 4, "colour": "blue"}]});
    let by_colour = "(eq,parts/colour,green)";
    assert!(holds(by_colour, &first) && holds(by_colour, &second));
    let by_both = "(eq,parts/colour,green);(eq,parts/id,3)";
    assert!(!holds(by_both, &first) && holds(by_both, &second));
    let apart = "(eq,parts/id,4);(eq,parts/colour,green)";
    assert!(!holds(apart, &second), "no element is both");
    let other_prefix = json!({"parts": [{"id": 1}, {"id": 2, "box": {"note": "x"}}]});
    assert!(holds(
        "(eq,parts/id,1);(eq,parts/box/note,x)",
        &other_prefix
    ));
}

#[test]
fn maps_are_asked_for_keys_and_for_members() {
    let row = json!({"data": {"site": "north", "@key": "odd"}, "links": {"eth0": {"port": 8080}}});
    assert!(holds("(eq,data/@key,site)", &row));
    assert!(!holds("(eq,data/@key,place)", &row));
    assert!(holds("(cont,links/@key,eth)", &row));
    assert!(holds("(eq,data/site,north)", &row));
    assert!(holds("(eq,data/~bkey,odd)", &row));
    assert!(holds("(gte,links/eth0/port,8080)", &row));
    assert!(!holds("(gte,links/eth1/port,8080)", &row));
}

#[test]
fn what_is_structured_or_unknown_is_not_compared() {
    for path in ["parts", "data", "links/eth0", "blob", "parts/box/lid"] {
        let refusal = refusal(&format!("(eq,{path},1)"));
        assert!(
            refusal.contains(path) && refusal.contains("structured"),
            "{refusal}"
        );
    }
    for path in [
        "nothing",
        "parts/nothing",
        "id/x",
        "blob/x",
        "@key",
        "parts/@key",
        "data/@key/x",
        "Id",
    ] {
        let refusal = refusal(&format!("(eq,{path},1)"));
        assert!(
            refusal.contains(path) && refusal.contains("no attribute of Thing"),
            "{refusal}"
        );
    }
}
