//! Requests, answers and the trait as text.

use std::collections::BTreeSet;

use super::model::{Answer, Header, Module, Operation, Parameter, Source, Type};
use super::names::snake;
use super::operations::type_name;
use super::print_types::named;
use super::prose::comment;

/// Requests and answers of a module.
pub fn messages(module: &Module) -> String {
    let mut text = String::new();
    for operation in &module.operations {
        text += &request(operation);
        text += &answer(operation);
    }
    let about = comment(
        "//!",
        0,
        "What each operation is asked and what it answers.",
    );
    format!("{about}\n{}\n{text}", imports(module, &text))
}

fn imports(module: &Module, text: &str) -> String {
    let mut lines = String::new();
    if text.contains("body: Body,") {
        lines += "use axum::body::Body;\n";
    }
    lines += "use axum::http::StatusCode;\nuse axum::response::{IntoResponse, Response};\n\n";
    lines += &named(module, &BTreeSet::new(), types(module));
    let ours = ["ETag", "IfMatch", "Prepared", "Selected"];
    let mut ours: Vec<&str> = ours
        .into_iter()
        .filter(|name| {
            text.contains(&format!("{name}>"))
                || text.contains(&format!("{name}<"))
                || text.contains(&format!(": {name},"))
        })
        .collect();
    let media = if text.contains("MediaType") {
        "MediaType, "
    } else {
        ""
    };
    lines += &format!("use crate::http::{{{media}Reply}};\n");
    ours.sort_unstable();
    lines + &format!("use crate::{{{}}};\n", ours.join(", "))
}

/// The types that requests and answers are made of.
fn types(module: &Module) -> impl Iterator<Item = &super::model::Named> {
    module.operations.iter().flat_map(|operation| {
        let queries = operation
            .parameters
            .iter()
            .filter_map(|parameter| match &parameter.source {
                Source::One(kind) | Source::Many(kind) => kind.named(),
                _ => None,
            });
        let body = operation
            .body
            .iter()
            .filter_map(|body| body.json.as_ref()?.named());
        let answers = operation
            .answers
            .iter()
            .filter_map(|answer| answer.content.as_ref()?.json.as_ref()?.named());
        queries.chain(body).chain(answers)
    })
}

/// Whether the handler has to know which form Accept chose.
pub fn chooses(operation: &Operation) -> bool {
    let forms: BTreeSet<_> = operation
        .answers
        .iter()
        .filter_map(|answer| Some(answer.content.as_ref()?.form))
        .collect();
    forms.len() > 1
}

fn request(operation: &Operation) -> String {
    let name = type_name(operation);
    let mut fields = String::new();
    for parameter in &operation.parameters {
        let about = if parameter.about.is_empty() {
            format!("`{}`", parameter.wire)
        } else {
            parameter.about.clone()
        };
        fields += &comment("///", 4, &about);
        fields += &format!(
            "    pub {}: {},\n",
            parameter.rust,
            parameter_type(parameter)
        );
    }
    if chooses(operation) {
        fields += "    /// The form that Accept chose.\n    pub accept: MediaType,\n";
    }
    if let Some(body) = &operation.body {
        fields += "    /// What was sent.\n";
        let kind = body
            .json
            .as_ref()
            .map_or_else(|| "Body".to_owned(), Type::to_string);
        fields += &format!("    pub body: {kind},\n");
    }
    let about = comment("///", 0, &format!("{}.", operation.summary));
    if fields.is_empty() {
        return format!("{about}#[derive(Debug)]\npub struct {name};\n\n");
    }
    format!("{about}#[derive(Debug)]\npub struct {name} {{\n{fields}}}\n\n")
}

fn parameter_type(parameter: &Parameter) -> String {
    match &parameter.source {
        Source::Path => "String".to_owned(),
        Source::One(kind) => format!("Option<{kind}>"),
        Source::Many(kind) => format!("Option<Vec<{kind}>>"),
        Source::Flag => "bool".to_owned(),
        Source::IfMatch => "Option<IfMatch>".to_owned(),
        Source::Header => "Option<String>".to_owned(),
    }
}

fn answer(operation: &Operation) -> String {
    let name = type_name(operation) + "Answer";
    let variants: String = operation.answers.iter().map(variant).collect();
    let arms: String = operation.answers.iter().map(arm).collect();
    let link = format!("/// Answers of [`{}`].\n", type_name(operation));
    // One variant is no larger than another.
    let allowed = match operation.answers.as_slice() {
        [_] => "",
        _ => {
            "#[allow(clippy::large_enum_variant, reason = \"made once a request, and soon gone\")]\n"
        }
    };
    format!(
        "{link}#[derive(Debug)]\n{allowed}pub enum {name} {{\n{variants}}}\n\n\
         impl IntoResponse for {name} {{\n    fn into_response(self) -> Response {{\n        match self {{\n{arms}        }}\n    }}\n}}\n\n"
    )
}

fn variant(answer: &Answer) -> String {
    let about = comment("///", 4, &format!("{}: {}", answer.status, answer.about));
    let mut fields = String::new();
    for header in variable(answer) {
        fields += &comment("///", 8, &header.about);
        fields += &format!("        {}: {},\n", header.rust, header_type(header));
    }
    if let Some(content) = &answer.content {
        let kind = match &content.json {
            None => "Body".to_owned(),
            Some(Type::List(inner)) if content.selected => format!("Vec<Selected<{inner}>>"),
            Some(kind) if content.selected => format!("Selected<{kind}>"),
            Some(kind) if content.prepared => format!("Prepared<{kind}>"),
            Some(kind) => kind.to_string(),
        };
        fields += &format!("        /// The content.\n        body: {kind},\n");
    }
    if fields.is_empty() {
        return format!("{about}    {},\n", answer.name);
    }
    format!("{about}    {} {{\n{fields}    }},\n", answer.name)
}

fn variable(answer: &Answer) -> impl Iterator<Item = &Header> {
    answer
        .headers
        .iter()
        .filter(|header| header.constant.is_none())
}

fn header_type(header: &Header) -> &'static str {
    match header.wire.as_str() {
        "ETag" => "ETag",
        "Link" => "Option<String>",
        _ => "String",
    }
}

fn arm(answer: &Answer) -> String {
    let mut names: Vec<&str> = variable(answer)
        .map(|header| header.rust.as_str())
        .collect();
    if answer.content.is_some() {
        names.push("body");
    }
    let pattern = if names.is_empty() {
        String::new()
    } else {
        format!(" {{ {} }}", names.join(", "))
    };
    let mut chain = format!("Reply::new(StatusCode::{})", constant(answer.status));
    for header in &answer.headers {
        chain += &match (header.wire.as_str(), &header.constant) {
            (wire, Some(value)) => format!(
                ".header(axum::http::header::{}, {value:?})",
                header_constant(wire)
            ),
            ("ETag", None) => ".etag(&etag)".to_owned(),
            ("Location", None) => ".location(&location)".to_owned(),
            ("Link", None) => ".link(link.as_deref())".to_owned(),
            (wire, None) => format!(
                ".header(axum::http::header::{}, &{})",
                header_constant(wire),
                header.rust
            ),
        };
    }
    chain += &match &answer.content {
        None => ".empty()".to_owned(),
        Some(content) if content.prepared => ".prepared(body)".to_owned(),
        Some(content) if content.json.is_some() => ".json(&body)".to_owned(),
        Some(content) => format!(".content(MediaType::{}, body)", content.form),
    };
    format!("            Self::{}{pattern} => {chain},\n", answer.name)
}

fn header_constant(wire: &str) -> String {
    wire.replace('-', "_").to_uppercase()
}

fn constant(status: u16) -> &'static str {
    match status {
        201 => "CREATED",
        202 => "ACCEPTED",
        204 => "NO_CONTENT",
        206 => "PARTIAL_CONTENT",
        _ => "OK",
    }
}

/// The trait of a module.
pub fn interface(module: &Module, name: &str) -> String {
    let mut methods = String::new();
    let mut used = BTreeSet::new();
    for operation in &module.operations {
        let (request, function) = (type_name(operation), snake(&operation.id));
        let mut about = format!("{}.", operation.summary);
        if !operation.about.is_empty() {
            about = format!("{about}\n{}", operation.about);
        }
        about = format!(
            "{about}\n`{} {}`",
            operation.method.to_uppercase(),
            operation.path
        );
        methods += &comment("///", 4, &about);
        methods += &format!(
            "    fn {function}(\n        &self,\n        caller: Self::Caller,\n        request: {request},\n    ) -> impl Future<Output = Result<{request}Answer, Problem>> + Send;\n\n"
        );
        used.insert(format!("{request}Answer"));
        used.insert(request);
    }
    let used: Vec<String> = used.into_iter().collect();
    let about = comment(
        "//!",
        0,
        "The interface as a trait: who implements it has it served.",
    );
    let each = comment("///", 0, &module.about);
    let caller = "    /// Who calls, as the layer above the router found out.\n    type Caller: Clone + Send + Sync + 'static;\n\n";
    format!(
        "{about}\nuse super::{{{}}};\nuse crate::Problem;\n\n{each}pub trait {name}: Send + Sync + 'static {{\n{caller}{methods}}}\n",
        used.join(", ")
    )
}
