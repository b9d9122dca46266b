//! From paths to operations.

use anyhow::{Context, bail, ensure};

use super::known;
use super::library::{Library, Place};
use super::model::{Answer, Body, Content, Header, Operation, Parameter, Source, Type};
use super::names::{pascal, snake};
use super::node::Node;
use super::schemas;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
const JSON: [&str; 2] = ["application/json", "application/merge-patch+json"];
/// The parameter whose presence says that an operation has attribute selectors.
const SELECTOR: &str = "exclude_fields";
/// Operations that are asked far more often than their answers change.
const PREPARED: [&str; 2] = ["listServices", "listInstanceServices"];

/// Every operation of a document, in its order.
pub fn all<'a>(
    library: &'a Library,
    module: &'static str,
    root: Place<'a>,
) -> anyhow::Result<Vec<Operation>> {
    let mut operations = Vec::new();
    for (path, item) in root.node.get("paths").members() {
        for (method, node) in item.members() {
            if METHODS.contains(&method.as_str()) {
                let reader = Reader {
                    library,
                    module,
                    path,
                    item: root.at(item),
                    operation: root.at(node),
                };
                let read = reader.read(method);
                operations
                    .push(read.with_context(|| format!("{}: {method} {path}", root.document))?);
            }
        }
    }
    Ok(operations)
}

struct Reader<'a> {
    library: &'a Library,
    module: &'static str,
    path: &'a str,
    item: Place<'a>,
    operation: Place<'a>,
}

impl<'a> Reader<'a> {
    fn read(&self, method: &str) -> anyhow::Result<Operation> {
        known::operation(self.operation.node)?;
        let text = |name: &str| {
            self.operation
                .node
                .get(name)
                .text()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let id = text("operationId");
        ensure!(!id.is_empty(), "it has no operationId");
        let parameters = self.parameters()?;
        let selected = parameters
            .iter()
            .any(|parameter| parameter.wire == SELECTOR);
        let prepared = PREPARED.contains(&id.as_str());
        let mut answers = Vec::new();
        let mut problems = Vec::new();
        for (status, node) in self.operation.node.get("responses").members() {
            let status: u16 = status
                .parse()
                .with_context(|| format!("the status {status} is not a number"))?;
            if status >= 400 {
                problems.push(status);
            } else {
                let answer = self.library.resolve(self.operation.at(node))?;
                answers.extend(self.answers(status, answer, (selected, prepared))?);
            }
        }
        ensure!(!answers.is_empty(), "it has no successful answer");
        Ok(Operation {
            id,
            method: method.to_owned(),
            path: self.path.to_owned(),
            summary: text("summary"),
            about: text("description"),
            parameters,
            body: self.body()?,
            answers,
            problems,
        })
    }

    fn kind(&self, schema: Place<'a>) -> anyhow::Result<Type> {
        let mut reader = schemas::Reader::new(self.library, self.module);
        let (kind, rules) = reader.kind("", "", schema)?;
        ensure!(
            rules.is_empty(),
            "rules outside named schemas are not supported"
        );
        let made = reader.made();
        ensure!(
            made == 0,
            "an enumeration outside named schemas is not supported, give it a name"
        );
        Ok(kind)
    }

    fn parameters(&self) -> anyhow::Result<Vec<Parameter>> {
        let mut parameters = Vec::new();
        for level in [self.item, self.operation] {
            for parameter in level.node.get("parameters").items() {
                let parameter = self.library.resolve(level.at(parameter))?;
                let wire = parameter
                    .node
                    .get("name")
                    .text()
                    .context("a parameter has no name")?;
                let read = self.parameter(wire, parameter);
                parameters.push(read.with_context(|| format!("the parameter {wire}"))?);
            }
        }
        Ok(parameters)
    }

    fn parameter(&self, wire: &str, parameter: Place<'a>) -> anyhow::Result<Parameter> {
        let node = parameter.node;
        known::parameter(node)?;
        let schema = parameter.get("schema");
        let source = match node.get("in").text() {
            Some("path") => {
                ensure!(
                    self.path.contains(&format!("{{{wire}}}")),
                    "the path does not have it"
                );
                Source::Path
            }
            Some("query") => {
                ensure!(
                    !node.get("required").is_true(),
                    "a required query is not supported"
                );
                if node.get("allowEmptyValue").is_true() {
                    Source::Flag
                } else {
                    match self.kind(schema)? {
                        Type::List(inner) => Source::Many(*inner),
                        other => Source::One(other),
                    }
                }
            }
            Some("header") if wire.eq_ignore_ascii_case("if-match") => Source::IfMatch,
            Some("header") => Source::Header,
            other => bail!("parameters in {other:?} are not supported"),
        };
        Ok(Parameter {
            wire: wire.to_owned(),
            rust: snake(wire),
            about: described(node),
            source,
        })
    }

    fn body(&self) -> anyhow::Result<Option<Body>> {
        if !self.operation.node.get("requestBody").is_some() {
            return Ok(None);
        }
        let body = self.library.resolve(self.operation.get("requestBody"))?;
        ensure!(
            body.node.get("required").is_true(),
            "a body that may be left out is not supported"
        );
        let content = body.get("content");
        let forms: Vec<String> = content
            .node
            .members()
            .iter()
            .map(|(form, _)| form.clone())
            .collect();
        let json = JSON
            .into_iter()
            .find(|form| content.node.get(form).is_some());
        ensure!(
            json.is_none() || forms.iter().all(|form| JSON.contains(&form.as_str())),
            "a body is JSON or not, it cannot be both"
        );
        let json = json
            .map(|form| self.kind(content.get(form).get("schema")))
            .transpose()?;
        Ok(Some(Body {
            forms,
            json,
            checked: false,
        }))
    }

    /// The answers with one status: one for each form of the content.
    fn answers(
        &self,
        status: u16,
        answer: Place<'a>,
        (selected, prepared): (bool, bool),
    ) -> anyhow::Result<Vec<Answer>> {
        let name = match status {
            200 => "Ok",
            201 => "Created",
            202 => "Accepted",
            204 => "NoContent",
            206 => "PartialContent",
            other => bail!("the status {other} has no name yet"),
        };
        let forms = answer.get("content");
        let made = |suffix: &str, content: Option<Content>| -> anyhow::Result<Answer> {
            Ok(Answer {
                name: format!("{name}{suffix}"),
                status,
                about: described(answer.node),
                headers: self.headers(answer)?,
                content,
            })
        };
        if forms.node.members().is_empty() {
            return Ok(vec![made("", None)?]);
        }
        let several = forms.node.members().len() > 1;
        let each = forms.node.members().iter().map(|(form, node)| {
            let form = match form.as_str() {
                "application/json" => "Json",
                "text/plain" => "Text",
                "application/zip" => "Zip",
                other => bail!("answers as {other} are not supported"),
            };
            let json = (form == "Json").then(|| self.kind(forms.at(node.get("schema"))));
            let content = Content {
                form,
                json: json.transpose()?,
                selected,
                prepared,
            };
            made(if several { form } else { "" }, Some(content))
        });
        each.collect()
    }

    fn headers(&self, answer: Place<'a>) -> anyhow::Result<Vec<Header>> {
        let headers = answer.get("headers");
        let each = headers.node.members().iter().map(|(wire, node)| {
            let header = self.library.resolve(headers.at(node))?;
            Ok(Header {
                wire: wire.clone(),
                rust: if wire == "ETag" {
                    "etag".to_owned()
                } else {
                    snake(wire)
                },
                about: described(header.node),
                constant: header.node.at("/schema/const").text().map(str::to_owned),
            })
        });
        each.collect()
    }
}

/// The name of the struct of a request, and the beginning of that of its answer.
pub fn type_name(operation: &Operation) -> String {
    pascal(&operation.id)
}

fn described(node: &Node) -> String {
    node.get("description")
        .text()
        .unwrap_or_default()
        .trim()
        .to_owned()
}
