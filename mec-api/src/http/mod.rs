//! From a request on the wire to its parts, and from an answer back; the generated routers are made of this.
//!
//! A request is looked at once and in this order: length of the URI (414), whether somebody is known to have sent it
//! (401), Accept (406), form (415) and length (413) of the body, and then everything that is a 400.

mod accept;
mod body;
mod query;
mod reply;

use axum::extract::{FromRequestParts, OriginalUri, RawPathParams};
use axum::http::Uri;
use axum::http::header::{HeaderName, IF_MATCH};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

pub use accept::MediaType;
pub(crate) use body::Content;
pub use body::{MAX_JSON, read_json};
pub(crate) use query::Query;
pub(crate) use reply::Reply;

use crate::{IfMatch, Problem};

/// The longest URI taken, in bytes: room for a filter over every attribute, and far from what a server keeps in memory.
pub const MAX_URI: usize = 8192;

/// What a document says about an operation, as far as every request needs it.
pub(crate) struct Operation {
    /// The `operationId`.
    pub name: &'static str,
    /// Forms of the successful answer; none when it has no content.
    pub produces: &'static [MediaType],
    /// Forms of the body; none when there is none.
    pub consumes: &'static [&'static str],
    /// Names of the query parameters.
    pub queries: &'static [&'static str],
    /// The statuses of problems that the document declares.
    pub problems: &'static [u16],
}

impl Operation {
    /// The answer, whichever it is. A problem that the document does not declare is a fault of ours: it is logged, and
    /// sent all the same, because the caller is owed the truth.
    pub fn answer<A: IntoResponse>(&self, result: Result<A, Problem>) -> Response {
        let problem = match result {
            Ok(answer) => return answer.into_response(),
            Err(problem) => problem,
        };
        if !self.problems.contains(&problem.status().as_u16()) {
            tracing::error!(operation = self.name, %problem, "the document does not declare this status");
        }
        problem.into_response()
    }
}

/// A request whose head has been looked at.
pub(crate) struct Call {
    parts: Parts,
    path: Vec<(String, String)>,
    query: Query,
    content: Content,
    accept: MediaType,
}

impl Call {
    /// Looks at everything that does not depend on the members of the body.
    ///
    /// # Errors
    /// The problem to answer with.
    pub async fn open(
        operation: &Operation,
        request: axum::extract::Request,
    ) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        bounded(&whole_uri(&parts))?;
        let accept = accept::choose(&parts.headers, operation.produces)?;
        let content = Content::take(&parts.headers, operation.consumes, body).await?;
        query::escapes(parts.uri.path(), "path")?;
        let path = path(&mut parts).await?;
        let query = Query::parse(parts.uri.query().unwrap_or_default(), operation.queries)?;
        Ok(Self {
            parts,
            path,
            query,
            content,
            accept,
        })
    }

    /// A segment of the path, decoded.
    ///
    /// # Errors
    /// 404 when the route has no such segment, which the generator does not let happen.
    pub fn path(&mut self, name: &str) -> Result<String, Problem> {
        let found = self.path.iter_mut().find(|(known, _)| known == name);
        let (_, value) = found.ok_or_else(|| Problem::not_found("there is nothing here"))?;
        Ok(std::mem::take(value))
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The form that Accept prefers among those of the operation.
    pub fn accept(&self) -> MediaType {
        self.accept
    }

    /// The header If-Match.
    ///
    /// # Errors
    /// 400 when it is malformed.
    pub fn if_match(&self) -> Result<Option<IfMatch>, Problem> {
        let value = self.header(&IF_MATCH)?;
        value.as_deref().map(IfMatch::parse).transpose()
    }

    /// A header as text; what is sent in several lines is one list.
    ///
    /// # Errors
    /// 400 when it is not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Result<Option<String>, Problem> {
        let mut lines = Vec::new();
        for line in self.parts.headers.get_all(name) {
            let text = line.to_str();
            lines.push(text.map_err(|_| {
                Problem::bad_request(format!("the header {name} has more than visible ASCII"))
            })?);
        }
        Ok((!lines.is_empty()).then(|| lines.join(", ")))
    }

    /// The body.
    pub fn content(self) -> Content {
        self.content
    }
}

/// Who calls, as an earlier layer found out.
///
/// # Errors
/// 401 when it did not.
pub(crate) fn caller<C: Clone + Send + Sync + 'static>(
    request: &axum::extract::Request,
) -> Result<C, Problem> {
    bounded(
        request
            .extensions()
            .get()
            .map_or(request.uri(), |OriginalUri(uri)| uri),
    )?;
    let caller = request.extensions().get::<C>().cloned();
    caller.ok_or_else(|| {
        Problem::unauthorized("send an access token of this node", "Bearer realm=\"mec\"")
    })
}

/// The URI as it was sent, before a prefix was taken away.
fn whole_uri(parts: &Parts) -> Uri {
    let original = parts.extensions.get::<OriginalUri>();
    original.map_or_else(|| parts.uri.clone(), |OriginalUri(uri)| uri.clone())
}

fn bounded(uri: &Uri) -> Result<(), Problem> {
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if path > MAX_URI {
        return Err(Problem::uri_too_long(format!(
            "a URI may have {MAX_URI} bytes, this one has {path}"
        )));
    }
    Ok(())
}

async fn path(parts: &mut Parts) -> Result<Vec<(String, String)>, Problem> {
    let segments = RawPathParams::from_request_parts(parts, &()).await;
    let segments = segments.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(segments.iter().map(owned).collect())
}

/// The answer where no path fits.
pub(crate) async fn nothing_here(uri: Uri) -> Problem {
    match bounded(&uri) {
        Ok(()) => Problem::not_found("there is no such resource; the paths are in /openapi"),
        Err(problem) => problem,
    }
}

/// The answer where a path fits and the method does not; the router adds Allow.
pub(crate) async fn no_such_method(method: axum::http::Method) -> Problem {
    Problem::method_not_allowed(format!(
        "this resource has no {method}; Allow says what it has"
    ))
}
