//! What lists promise, tried on a list that has one of everything.

mod documents;
mod grammar;
mod operators;
mod oracle;
mod pages;
mod selectors;

use super::{
    Attribute, ListParameters, ListSchema, MarkerKey, Page, QueryError, Row, Scalar, Shape,
};
use serde_json::Value;

const TEXT: Shape = Shape::Scalar(Scalar::Text);
const NUMBER: Shape = Shape::Scalar(Scalar::Number);
const COLOUR: Shape = Shape::Scalar(Scalar::Enumeration(&["red", "green", "blue"]));

const THINGS: ListSchema = ListSchema {
    name: "Thing",
    attributes: &[
        Attribute::required("id", TEXT),
        Attribute::optional("weight", NUMBER),
        Attribute::optional("made", Shape::Scalar(Scalar::DateTime)),
        Attribute::optional("colour", COLOUR),
        Attribute::optional("ok", Shape::Scalar(Scalar::Boolean)),
        Attribute::required("tags", Shape::List(&TEXT)),
        Attribute::optional("a/b,c@d~e", TEXT),
        Attribute::required(
            "parts",
            Shape::List(&Shape::Object(&[
                Attribute::required("id", NUMBER),
                Attribute::optional("colour", COLOUR),
                Attribute::optional(
                    "box",
                    Shape::Object(&[
                        Attribute::optional("note", TEXT),
                        Attribute::optional("pins", Shape::List(&NUMBER)),
                        Attribute::optional("lid", Shape::Object(&[])),
                    ]),
                ),
            ])),
        ),
        Attribute::optional("data", Shape::Map(&TEXT)),
        Attribute::optional(
            "links",
            Shape::Map(&Shape::Object(&[Attribute::required("port", NUMBER)])),
        ),
        Attribute::left_out(
            "big",
            Shape::Object(&[
                Attribute::required("name", TEXT),
                Attribute::optional("one", Shape::Opaque),
                Attribute::optional("two", Shape::Opaque),
            ]),
        ),
        Attribute::left_out("blob", Shape::Opaque),
    ],
};

const PATH: &str = "/things/v1/things";

fn key() -> MarkerKey {
    MarkerKey::new(b"a secret of this box")
}

fn filtered(filter: &str) -> ListParameters {
    ListParameters {
        filter: Some(filter.to_owned()),
        ..ListParameters::default()
    }
}

fn ask(parameters: &ListParameters, rows: &[Value]) -> Result<Page, QueryError> {
    let rows = rows.iter().enumerate().map(|(index, value)| Row {
        id: format!("{index:04}"),
        value: value.clone(),
    });
    super::list(&THINGS, parameters, rows, PATH, &key())
}

fn holds(filter: &str, row: &Value) -> bool {
    let page = ask(&filtered(filter), std::slice::from_ref(row));
    !page
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .items
        .is_empty()
}

fn refusal(filter: &str) -> String {
    match ask(&filtered(filter), &[]) {
        Ok(_) => panic!("{filter} was taken"),
        Err(error) => error.to_string(),
    }
}
