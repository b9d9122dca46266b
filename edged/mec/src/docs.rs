//! The documents of all interfaces at `/openapi`, and a page to read and try them at `/docs` that needs no network.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use mec_api::{Problem, documents};
use utoipa_swagger_ui::{Config, Url};

use crate::node_api;

/// Name of the node's own document.
const OWN: &str = "platform.yaml";
/// What the page may do: its own scripts and styles, and requests to this node alone.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

#[derive(Clone)]
struct Shelf {
    prefix: Arc<str>,
    /// Title and address of each document, as the page lists them.
    listed: Arc<[(String, String)]>,
}

/// The documents and the page, for everybody.
pub fn router(prefix: &str) -> Router {
    let names = documents().iter().map(|document| document.name);
    let names = names.filter(|name| *name != "common.yaml").chain([OWN]);
    let listed = names.map(|name| {
        let title = name.trim_end_matches(".yaml").to_owned();
        (title, format!("{prefix}/openapi/{name}"))
    });
    let shelf = Shelf {
        prefix: prefix.into(),
        listed: listed.collect(),
    };
    Router::new()
        .route("/openapi", get(list))
        .route("/openapi/{name}", get(document))
        .route("/docs", get(to_page))
        .route("/docs/", get(first_page))
        .route("/docs/{*file}", get(page))
        .with_state(shelf)
}

/// The names, one a line.
async fn list() -> String {
    let names = documents()
        .iter()
        .map(|document| document.name)
        .chain([OWN]);
    names.flat_map(|name| [name, "\n"]).collect()
}

/// A document, its paths below the node's prefix.
async fn document(
    State(shelf): State<Shelf>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let text = if name == OWN {
        node_api::document()
    } else {
        let found = documents().iter().find(|document| document.name == name);
        let found = found.ok_or_else(|| {
            Problem::not_found(format!(
                "there is no document {name:?}; /openapi lists them"
            ))
        })?;
        found.text.to_owned()
    };
    let prefix = &shelf.prefix;
    let text = text
        .replace("- url: /", &format!("- url: {prefix}/"))
        .replace("tokenUrl: /", &format!("tokenUrl: {prefix}/"));
    // RFC 9512 registered application/yaml.
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response())
}

async fn to_page(State(shelf): State<Shelf>) -> Redirect {
    Redirect::permanent(&format!("{}/docs/", shelf.prefix))
}

async fn first_page(shelf: State<Shelf>) -> Result<Response, Problem> {
    page(shelf, Path(String::new())).await
}

async fn page(State(shelf): State<Shelf>, Path(file): Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("the page has no file {file:?}"));
    let urls = shelf.listed.iter().map(|(title, url)| Url::new(title, url));
    let config = Config::new(urls)
        .try_it_out_enabled(true)
        .validator_url("none");
    let found = utoipa_swagger_ui::serve(&file, Arc::new(config)).map_err(|_| missing())?;
    let found = found.ok_or_else(missing)?;
    let policy = HeaderName::from_static("content-security-policy");
    let headers = [
        (header::CONTENT_TYPE, found.content_type),
        (policy, POLICY.to_owned()),
    ];
    Ok((headers, found.bytes.into_owned()).into_response())
}
