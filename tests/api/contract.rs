//! What the documents promise: operations, the answers declared for each, and whether an answer is one of them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use board::workspace;
use serde_json::Value;
use umec_tests::document::{Library, Place};
use umec_tests::schema;

use crate::http::Answer;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The documents.
#[derive(Debug)]
pub struct Contract {
    library: Library,
    operations: Vec<Operation>,
}

/// One operation of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `DOCUMENT/OPERATION`: the same name may be in several documents.
    pub name: String,
    document: String,
    pub method: String,
    /// The server's path and the path itself, with `{parameters}`.
    pub template: String,
    /// A pointer to it in the document.
    pointer: String,
}

impl Operation {
    /// The path parameters, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let open = self.template.split('{').skip(1);
        open.filter_map(|part| part.split_once('}').map(|(name, _)| name))
    }
}

impl Contract {
    /// Reads openapi/.
    pub fn read() -> anyhow::Result<Self> {
        let library = Library::read(&workspace::root().join("openapi"))?;
        let mut operations = Vec::new();
        for document in library.documents() {
            let base = document
                .root
                .pointer("/servers/0/url")
                .and_then(Value::as_str);
            let base = base.context("a document without a server")?;
            let paths = document.root.get("paths").and_then(Value::as_object);
            for (path, item) in paths.into_iter().flatten() {
                for method in METHODS {
                    let Some(operation) = item.get(method) else {
                        continue;
                    };
                    let id = operation.get("operationId").and_then(Value::as_str);
                    let stem = document.name.trim_end_matches(".yaml");
                    operations.push(Operation {
                        name: format!("{stem}/{}", id.context("an operation without a name")?),
                        document: document.name.clone(),
                        method: method.to_uppercase(),
                        template: format!("{}{path}", base.trim_end_matches('/')),
                        pointer: format!("/paths/{}/{method}", path.replace('/', "~1")),
                    });
                }
            }
        }
        Ok(Self {
            library,
            operations,
        })
    }

    /// The documents' names.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        self.library.documents().map(|it| it.name.as_str())
    }

    /// All of them.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// One of them.
    pub fn operation(&self, name: &str) -> anyhow::Result<&Operation> {
        let found = self.operations.iter().find(|it| it.name == name);
        found.with_context(|| format!("no document has the operation {name}"))
    }

    /// The declared answers of an operation, by status.
    pub fn answers(&self, operation: &Operation) -> anyhow::Result<BTreeMap<u16, Place<'_>>> {
        let root = self.library.root(&operation.document)?;
        let at = root.value.pointer(&operation.pointer).map(|it| root.at(it));
        let answers = at.and_then(|it| it.get("responses"));
        let answers = answers.with_context(|| format!("{} has no answers", operation.name))?;
        let mut all = BTreeMap::new();
        for (status, answer) in answers.value.as_object().into_iter().flatten() {
            all.insert(status.parse()?, self.library.resolve(answers.at(answer))?);
        }
        Ok(all)
    }

    /// Whether a value fits a named schema of a document.
    pub fn fits(&self, document: &str, name: &str, value: &Value) -> anyhow::Result<()> {
        let schema = format!("#/components/schemas/{name}");
        let schema = self.library.find(document, &schema)?;
        schema::fits(&self.library, schema, value).map_err(anyhow::Error::msg)
    }

    /// Whether an answer is what the document says of its status: media type, required headers, body.
    pub fn check(&self, operation: &Operation, answer: &Answer) -> anyhow::Result<()> {
        let declared = self.answers(operation)?;
        let declared = *declared
            .get(&answer.status)
            .with_context(|| format!("{} is not declared", answer.status))?;
        let headers = declared.get("headers");
        for (name, header) in headers
            .and_then(|it| it.value.as_object())
            .into_iter()
            .flatten()
        {
            let header = self.library.resolve(declared.at(header))?;
            let required = header.value.get("required") == Some(&Value::Bool(true));
            ensure!(
                !required || answer.header(&name.to_ascii_lowercase()).is_some(),
                "the header {name} is missing"
            );
        }
        let Some(content) = declared.get("content") else {
            ensure!(
                answer.body.is_empty(),
                "there is a body: {}",
                answer.shown()
            );
            return Ok(());
        };
        let media = answer.media_type().context("there is no media type")?;
        let entry = content
            .get(media)
            .with_context(|| format!("{media} is not declared"))?;
        if media.ends_with("json")
            && let Some(schema) = entry.get("schema")
        {
            let body = answer.json()?;
            schema::fits(&self.library, schema, &body)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("the body does not fit: {:.300}", body.to_string()))?;
        }
        Ok(())
    }
}

#[test]
fn an_answer_that_the_document_does_not_have_is_named() -> anyhow::Result<()> {
    let contract = Contract::read()?;
    let operation = contract.operation("mec011-app-support/readCurrentTime")?;
    let answer = |status, media: &str, body: &str| Answer {
        status,
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body: body.as_bytes().to_vec(),
    };
    let good = r#"{"seconds": 1, "nanoSeconds": 2, "timeSourceStatus": "TRACEABLE"}"#;
    contract.check(
        operation,
        &answer(200, "application/json; charset=utf-8", good),
    )?;
    for (bad, what) in [
        (answer(201, "application/json", good), "a status"),
        (answer(200, "text/plain", good), "a media type"),
        (answer(200, "application/json", "{}"), "a body"),
        (
            answer(
                401,
                "application/problem+json",
                r#"{"status": 401, "detail": "x"}"#,
            ),
            "an answer without its header",
        ),
    ] {
        assert!(contract.check(operation, &bad).is_err(), "{what} is taken");
    }
    Ok(())
}
