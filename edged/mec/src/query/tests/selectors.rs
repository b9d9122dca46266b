//! Which attributes an answer has: MEC 009, table 6.18.3-1.

use serde_json::{Value, json};

use super::super::{ListParameters, SELECTOR_BYTES, SELECTORS};
use super::{PATH, ask};

fn whole() -> Value {
    json!({
        "id": "1", "weight": 2, "tags": ["t"], "unheard": {"of": 1},
        "parts": [{"id": 1, "colour": "red", "box": {"note": "n", "pins": [1], "lid": {}}}, {"id": 2}],
        "data": {"a": "b"},
        "big": {"name": "n", "one": {"x": 1}, "two": {"x": 2}},
        "blob": {"x": 1},
    })
}

/// `all_fields`, `fields`, `exclude_fields`, `exclude_default`.
fn select(given: [Option<&str>; 4]) -> ListParameters {
    let [all_fields, fields, exclude_fields, exclude_default] = given;
    ListParameters {
        all_fields: all_fields.is_some(),
        fields: fields.map(str::to_owned),
        exclude_fields: exclude_fields.map(str::to_owned),
        exclude_default: exclude_default.is_some(),
        ..ListParameters::default()
    }
}

fn answer(given: [Option<&str>; 4]) -> Value {
    ask(&select(given), &[whole()]).unwrap().items.remove(0)
}

fn refusal(given: [Option<&str>; 4]) -> String {
    ask(&select(given), &[]).unwrap_err().to_string()
}

/// The whole row without the attributes at these pointers.
fn without(pointers: &[&str]) -> Value {
    let mut value = whole();
    for pointer in pointers {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.remove(name).unwrap();
    }
    value
}

const FLAG: Option<&str> = Some("");

#[test]
fn nothing_asked_for_is_the_default_set_left_out() {
    let default = without(&["/big", "/blob"]);
    assert_eq!(answer([None; 4]), default);
    assert_eq!(answer([None, None, None, FLAG]), default);
}

#[test]
fn all_fields_are_all_fields() {
    assert_eq!(answer([FLAG, None, None, None]), whole());
}

#[test]
fn fields_keep_what_is_listed_and_what_cannot_be_left_out() {
    assert_eq!(
        answer([None, Some("data"), None, None]),
        without(&["/parts/0/box", "/big", "/blob"])
    );
    assert_eq!(
        answer([None, Some("big,parts/box"), None, None]),
        without(&["/data", "/blob"])
    );
}

#[test]
fn a_listed_part_brings_what_it_is_in_and_nothing_beside_it() {
    assert_eq!(
        answer([None, Some("big/one,parts/box/pins"), None, None]),
        without(&["/data", "/blob", "/big/two", "/parts/0/box/lid"])
    );
}

#[test]
fn excluded_fields_are_left_out_and_nothing_else_is() {
    assert_eq!(
        answer([None, None, Some("data"), None]),
        without(&["/data"])
    );
    assert_eq!(
        answer([None, None, Some("parts/box/pins,big/two"), None]),
        without(&["/parts/0/box/pins", "/big/two"])
    );
}

#[test]
fn fields_bring_back_what_the_default_leaves_out() {
    assert_eq!(answer([None, Some("blob"), None, FLAG]), without(&["/big"]));
    assert_eq!(
        answer([None, Some("big/one"), None, FLAG]),
        without(&["/blob", "/big/two"])
    );
}

#[test]
fn every_other_combination_is_refused() {
    let names = ["all_fields", "fields", "exclude_fields", "exclude_default"];
    for bits in 0..16_usize {
        let is_given = |index: usize| bits >> index & 1 == 1;
        let value = |index: usize| match (is_given(index), index) {
            (false, _) => None,
            (true, 0 | 3) => FLAG,
            (true, _) => Some("data"),
        };
        let given = [value(0), value(1), value(2), value(3)];
        // Bit 0 is all_fields, bit 3 exclude_default.
        if [0b0000, 0b0001, 0b0010, 0b0100, 0b1000, 0b1010].contains(&bits) {
            assert!(ask(&select(given), &[whole()]).is_ok(), "{given:?}");
        } else {
            let refusal = refusal(given);
            let in_it = names
                .iter()
                .enumerate()
                .filter(|(_, name)| refusal.contains(*name));
            assert!(in_it.count() >= 2, "{refusal}");
            assert!(refusal.contains("cannot be combined"), "{refusal}");
        }
    }
}

#[test]
fn only_optional_structured_attributes_can_be_named() {
    for (name, why) in [
        ("id", "always returned"),
        ("weight", "always returned"),
        ("parts", "always returned"),
        ("parts/colour", "always returned"),
        ("nothing", "no attribute of Thing"),
        ("data/a", "no attribute of Thing"),
        ("data/@key", "no attribute of Thing"),
        ("blob/x", "no attribute of Thing"),
        ("", "malformed"),
        ("data,", "malformed"),
        ("~", "malformed"),
    ] {
        for (parameter, given) in [
            ("fields", [None, Some(name), None, None]),
            ("exclude_fields", [None, None, Some(name), None]),
        ] {
            let refusal = refusal(given);
            assert!(
                refusal.starts_with(parameter) && refusal.contains(why),
                "{refusal}"
            );
        }
    }
}

#[test]
fn selectors_are_bounded() {
    let many = |count: usize| vec!["data"; count].join(",");
    assert!(ask(&select([None, Some(&many(SELECTORS)), None, None]), &[]).is_ok());
    assert!(refusal([None, Some(&many(SELECTORS + 1)), None, None]).contains("attributes"));
    let long = "x".repeat(SELECTOR_BYTES + 1);
    assert!(refusal([None, None, Some(&long), None]).contains("513 bytes"));
}

#[test]
fn a_row_that_is_no_object_is_left_as_it_is() {
    let page = super::super::list(
        &super::THINGS,
        &ListParameters::default(),
        [super::Row {
            id: "1".into(),
            value: json!("x"),
        }],
        PATH,
        &super::key(),
    );
    assert_eq!(page.unwrap().items, [json!("x")]);
}
