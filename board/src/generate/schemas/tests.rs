use super::*;

/// The types of a document with these schemas.
fn items(schemas: &str) -> anyhow::Result<Vec<Item>> {
    let text = format!("components: {{schemas: {schemas}}}");
    let library = Library::of(&[("common.yaml", &text)]);
    Reader::new(&library, "common").all(library.root("common.yaml")?)
}

fn fields(schemas: &str) -> Vec<(String, String, bool)> {
    let items = items(schemas).unwrap();
    let Some(Kind::Struct { fields, .. }) = items.last().map(|item| &item.kind) else {
        panic!("the last one is no struct");
    };
    let each = fields
        .iter()
        .map(|field| (field.rust.clone(), field.kind.to_string(), field.required));
    each.collect()
}

fn one(kind: &str) -> String {
    let schemas = format!("{{A: {{type: object, properties: {{a: {kind}}}}}}}");
    fields(&schemas).remove(0).1
}

fn refused(schemas: &str) -> String {
    format!("{:#}", items(schemas).unwrap_err())
}

#[test]
fn integers_are_as_wide_as_their_bounds() {
    assert_eq!(one("{type: integer, minimum: 0, maximum: 255}"), "u8");
    assert_eq!(one("{type: integer, minimum: 1, maximum: 65535}"), "u16");
    assert_eq!(one("{type: integer, format: uint32}"), "u32");
    assert_eq!(one("{type: integer, minimum: 0}"), "u64");
    assert_eq!(one("{type: integer, maximum: 255}"), "i64");
    assert_eq!(one("{type: integer, enum: [0, 1]}"), "u8");
}

#[test]
fn containers_hold_what_they_say() {
    assert_eq!(one("{type: array, items: {type: string}}"), "Vec<String>");
    assert_eq!(one("{type: object}"), "Map<String, Value>");
    assert_eq!(
        one("{type: object, additionalProperties: {type: boolean}}"),
        "BTreeMap<String, bool>"
    );
    assert_eq!(one("{description: anything}"), "Value");
}

#[test]
fn one_object_or_an_array_of_them_is_a_type_of_its_own() {
    let alternatives = "oneOf: [{$ref: '#/components/schemas/B'}, {type: array, items: {$ref: '#/components/schemas/B'}}]";
    let schemas = format!(
        "{{B: {{type: string}}, A: {{type: object, properties: {{a: {{{alternatives}}}}}}}}}"
    );
    assert_eq!(fields(&schemas)[0].1, "OneOrMany<B>");
}

#[test]
fn names_that_would_be_the_same_are_told_apart() {
    let schemas =
        "{A: {type: object, properties: {cancelMode: {type: string}, CancelMode: {type: string}}}}";
    let names: Vec<String> = fields(schemas).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["cancel_mode", "cancel_mode_capitalized"]);
}

#[test]
fn equal_words_are_one_type_and_others_carry_their_owner() {
    let words = |name: &str, member: &str, values: &str| {
        format!(
            "{name}: {{type: object, properties: {{{member}: {{type: string, enum: {values}}}}}}}"
        )
    };
    let schemas = [
        words("A", "stopType", "[SOFT, HARD]"),
        words("B", "endType", "[SOFT, HARD]"),
        words("C", "stopType", "[SOFT, EASY]"),
        words("D", "state", "[OPEN, SHUT]"),
    ];
    let items = items(&format!("{{{}}}", schemas.join(", "))).unwrap();
    let inline = items
        .iter()
        .filter(|item| matches!(item.kind, Kind::Words(_)));
    let names: Vec<&str> = inline.map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["StopType", "CStopType", "DState"]);
}

#[test]
fn one_permitted_value_is_a_type_called_by_it() {
    let schemas =
        "{A: {type: object, required: [kind], properties: {kind: {type: string, const: GO_ON}}}}";
    assert_eq!(fields(schemas)[0].1, "GoOnKind");
}

#[test]
fn alternatives_are_told_apart_by_the_member_with_fixed_values() {
    let kind = |name: &str| {
        format!("{name}: {{type: object, properties: {{kind: {{type: string, const: {name}}}}}}}")
    };
    let schemas = format!(
        "{{{}, {}, Any: {{oneOf: [{{$ref: '#/components/schemas/RedThing'}}, {{$ref: '#/components/schemas/BlueThing'}}]}}}}",
        kind("RedThing"),
        kind("BlueThing")
    );
    let items = items(&schemas).unwrap();
    let Some(Kind::Union { member, variants }) = items.last().map(|item| &item.kind) else {
        panic!("the last one has no alternatives");
    };
    assert_eq!(member.as_deref(), Some("kind"));
    assert_eq!(variants[0].name, "Red");
    assert_eq!(variants[1].words, ["BlueThing"]);
}

#[test]
fn what_the_generator_does_not_know_is_refused() {
    let of = |schema: &str| {
        refused(&format!(
            "{{A: {{type: object, properties: {{a: {schema}}}}}}}"
        ))
    };
    assert!(of("{type: string, pattern: '^a+$'}").contains("^a+$"));
    assert!(of("{type: string, format: email}").contains("email"));
    assert!(of("{type: integer, multipleOf: 2}").contains("multipleOf"));
    assert!(of("{type: array, uniqueItems: true, items: {type: string}}").contains("uniqueItems"));
    assert!(of("{type: string, enum: ['00', '01']}").contains("x-enum-varnames"));
    assert!(refused("{A: {type: object, required: [b], properties: {a: {}}}}").contains('b'));
}
