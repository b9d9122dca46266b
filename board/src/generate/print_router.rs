//! Routers as text.

use std::collections::BTreeSet;

use super::model::{Module, Operation, Source};
use super::names::snake;
use super::operations::type_name;
use super::print_api::chooses;
use super::prose::comment;

/// The router of a module.
pub fn file(module: &Module, interface: &str) -> String {
    let about = comment(
        "//!",
        0,
        "Paths and methods, and how the parts of a request are found.",
    );
    let methods: BTreeSet<&str> = module
        .operations
        .iter()
        .map(|it| it.method.as_str())
        .collect();
    let first: BTreeSet<&str> = by_path(module)
        .iter()
        .filter_map(|(_, operations)| operations.first())
        .map(|it| it.method.as_str())
        .collect();
    let functions: Vec<&str> = methods
        .into_iter()
        .filter(|method| first.contains(method))
        .collect();
    let requests: BTreeSet<String> = module.operations.iter().map(type_name).collect();
    let requests: Vec<String> = requests.into_iter().collect();
    let mut text = format!(
        "{about}\nuse std::sync::Arc;\n\nuse axum::Router;\nuse axum::extract::{{Request, State}};\nuse axum::response::Response;\n\
         use axum::routing::{{{}}};\n\nuse super::{{{interface}, {}}};\nuse crate::http::{{self, Call, MediaType, Operation}};\n\n",
        functions.join(", "),
        requests.join(", ")
    );
    text += &comment("///", 0, "Where the paths of the document begin.");
    text += &format!("pub const BASE: &str = {:?};\n\n", module.base);
    text += &comment(
        "///",
        0,
        "The interface, served by `api`. Nest it at [`BASE`], under a layer that puts the caller into the request.",
    );
    text +=
        &format!("pub fn router<A: {interface}>(api: Arc<A>) -> Router {{\n    Router::new()\n");
    for (path, operations) in by_path(module) {
        let handlers = operations
            .iter()
            .map(|it| format!("{}({}::<A>)", it.method, snake(&it.id)));
        text += &format!(
            "        .route({path:?}, {})\n",
            handlers.collect::<Vec<_>>().join(".")
        );
    }
    text += "        .method_not_allowed_fallback(http::no_such_method)\n        .fallback(http::nothing_here)\n        .with_state(api)\n}\n\n";
    for operation in &module.operations {
        text += &handler(operation, interface);
    }
    text
}

fn by_path(module: &Module) -> Vec<(&str, Vec<&Operation>)> {
    let mut paths: Vec<(&str, Vec<&Operation>)> = Vec::new();
    for operation in &module.operations {
        match paths.iter_mut().find(|(path, _)| *path == operation.path) {
            Some((_, operations)) => operations.push(operation),
            None => paths.push((&operation.path, vec![operation])),
        }
    }
    paths
}

fn handler(operation: &Operation, interface: &str) -> String {
    let function = snake(&operation.id);
    let request = type_name(operation);
    let reads = reads(operation);
    let (binding, made) = if reads.is_empty() {
        (
            "Call::open(&OPERATION, request).await?;\n".to_owned(),
            request,
        )
    } else {
        let mutable = if reads.contains("call.path(") {
            "mut "
        } else {
            ""
        };
        (
            format!("let {mutable}call = Call::open(&OPERATION, request).await?;\n"),
            format!("{request} {{\n{reads}}}"),
        )
    };
    format!(
        "async fn {function}<A: {interface}>(State(api): State<Arc<A>>, request: Request) -> Response {{\n\
         {}\
         OPERATION.answer(async {{\n\
         let caller = http::caller(&request)?;\n\
         {binding}\
         let request = {made};\n\
         api.{function}(caller, request).await\n\
         }}.await)\n}}\n\n",
        constant(operation)
    )
}

/// How each part of the request is read.
fn reads(operation: &Operation) -> String {
    let mut text = String::new();
    for parameter in &operation.parameters {
        let (rust, wire) = (&parameter.rust, &parameter.wire);
        text += &match &parameter.source {
            Source::Path => format!("{rust}: call.path({wire:?})?,\n"),
            Source::One(_) => format!("{rust}: call.query().one({wire:?})?,\n"),
            Source::Many(_) => format!("{rust}: call.query().many({wire:?})?,\n"),
            Source::Flag => format!("{rust}: call.query().flag({wire:?})?,\n"),
            Source::IfMatch => format!("{rust}: call.if_match()?,\n"),
            Source::Header => {
                format!(
                    "{rust}: call.header(&axum::http::header::{})?,\n",
                    wire.replace('-', "_").to_uppercase()
                )
            }
        };
    }
    if chooses(operation) {
        text += "accept: call.accept(),\n";
    }
    if let Some(body) = &operation.body {
        // The body comes last, because it takes the call with it.
        text += match (&body.json, body.checked) {
            (None, _) => "body: call.content().stream(),\n",
            (Some(_), true) => "body: call.content().checked()?,\n",
            (Some(_), false) => "body: call.content().json()?,\n",
        };
    }
    text
}

/// What every request of an operation is looked at for.
fn constant(operation: &Operation) -> String {
    let mut forms: Vec<&str> = Vec::new();
    for content in operation
        .answers
        .iter()
        .filter_map(|answer| answer.content.as_ref())
    {
        if !forms.contains(&content.form) {
            forms.push(content.form);
        }
    }
    let forms: Vec<String> = forms
        .iter()
        .map(|form| format!("MediaType::{form}"))
        .collect();
    let quoted = |names: Vec<&String>| {
        names
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let consumes = operation.body.iter().flat_map(|body| &body.forms).collect();
    let queries = operation
        .parameters
        .iter()
        .filter(|it| matches!(it.source, Source::One(_) | Source::Many(_) | Source::Flag));
    let problems: Vec<String> = operation.problems.iter().map(u16::to_string).collect();
    format!(
        "const OPERATION: Operation = Operation {{\nname: {:?},\nproduces: &[{}],\nconsumes: &[{}],\nqueries: &[{}],\nproblems: &[{}],\n}};\n",
        operation.id,
        forms.join(", "),
        quoted(consumes),
        quoted(queries.map(|it| &it.wire).collect()),
        problems.join(", ")
    )
}
