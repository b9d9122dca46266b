//! Errors as RFC 9457 problem details.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::common::ProblemDetails;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error answer: a status and one sentence for its reader.
///
/// One pointer wide, because it is the `Err` of every operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    detail: String,
    kind: Option<String>,
    title: Option<String>,
    instance: Option<String>,
    challenge: Option<String>,
    retry_after: Option<u32>,
    more: Map<String, Value>,
}

impl Problem {
    /// Any status that is an error.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            detail: detail.into(),
            kind: None,
            title: None,
            instance: None,
            challenge: None,
            retry_after: None,
            more: Map::new(),
        }))
    }
    /// 400: the request is not what the interface takes.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
    /// 401 with the challenge of RFC 6750, section 3.
    pub fn unauthorized(detail: impl Into<String>, challenge: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, detail);
        problem.0.challenge = Some(challenge.into());
        problem
    }
    /// 403: the token is good, and not for this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }
    /// 404: there is no such resource.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
    /// 405: the path is there, and not for this method. The router adds Allow.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }
    /// 406: the answer does not exist in a form that Accept allows.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, detail)
    }
    /// 409: not in this state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }
    /// 412: the resource is not the one that was read.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }
    /// 413: longer than is taken.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail).titled("Content Too Large")
    }
    /// 414: a URI longer than is taken.
    pub fn uri_too_long(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, detail)
    }
    /// 415: not in a form that is taken.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }
    /// 416: bytes beyond the end are asked for.
    pub fn range_not_satisfiable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
    }
    /// 422: well formed, and cannot be done here.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).titled("Unprocessable Content")
    }
    /// 429: the caller asks faster than it may; `seconds` until it may again.
    pub fn too_many_requests(detail: impl Into<String>, seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }
    /// 500: a fault of ours.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
    /// 503: try again later.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// With a title other than the status code's own words.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.0.title = Some(title.into());
        self
    }
    /// With a URI that names the kind of problem (`type`).
    #[must_use]
    pub fn of_type(mut self, uri: impl Into<String>) -> Self {
        self.0.kind = Some(uri.into());
        self
    }
    /// With a URI that names this occurrence.
    #[must_use]
    pub fn instance(mut self, uri: impl Into<String>) -> Self {
        self.0.instance = Some(uri.into());
        self
    }
    /// With a challenge: what would let the caller in (RFC 6750, section 3).
    #[must_use]
    pub fn challenged(mut self, challenge: impl Into<String>) -> Self {
        self.0.challenge = Some(challenge.into());
        self
    }
    /// With the seconds after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }
    /// With a member of its own (RFC 9457, section 3.2).
    #[must_use]
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.more.insert(member.into(), value.into());
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }
    /// The sentence about this very request.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
    /// The members that the standard names, to be part of another object.
    pub fn details(&self) -> ProblemDetails {
        let reason = || self.0.status.canonical_reason().map(str::to_owned);
        ProblemDetails {
            r#type: self.0.kind.clone(),
            title: self.0.title.clone().or_else(reason),
            status: u32::from(self.0.status.as_u16()),
            detail: self.0.detail.clone(),
            instance: self.0.instance.clone(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.status.as_u16(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.0.more.clone();
        // Strings, a number and nothing else: this has a JSON form.
        if let Ok(Value::Object(standard)) = serde_json::to_value(self.details()) {
            body.extend(standard);
        }
        let mut response = (self.0.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let challenge = self.0.challenge.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(challenge)) = challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_sent_with_all_it_was_given() {
        let problem =
            Problem::unauthorized("the token is expired", "Bearer error=\"invalid_token\"")
                .of_type("urn:example:expired")
                .instance("urn:example:1")
                .retry_after(2)
                .with("file", "a.yaml")
                .with("status", 200);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
        assert_eq!(headers[RETRY_AFTER], "2");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = serde_json::json!({
            "type": "urn:example:expired",
            "title": "Unauthorized",
            "status": 401,
            "detail": "the token is expired",
            "instance": "urn:example:1",
            "file": "a.yaml",
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn an_answer_or_a_problem_is_small() {
        assert_eq!(size_of::<Problem>(), size_of::<usize>());
    }
}
