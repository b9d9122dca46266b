//! Putting an answer together.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::MediaType;
use crate::{ETag, Prepared, Problem};

/// An answer in the making.
pub(crate) struct Reply(Response);

impl Reply {
    /// Without headers and content.
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self(response)
    }

    /// With a header. A value that no header can carry is a fault of ours; the rest of the answer is still true.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        } else {
            tracing::error!(%name, value, "a header cannot carry this value");
        }
        self
    }

    /// With the place of a new resource.
    pub fn location(self, location: &str) -> Self {
        self.header(LOCATION, location)
    }

    /// With the version of the representation.
    pub fn etag(self, etag: &ETag) -> Self {
        self.header(ETAG, &etag.to_string())
    }

    /// With the next page, if there is one.
    pub fn link(self, link: Option<&str>) -> Self {
        match link {
            Some(link) => self.header(LINK, link),
            None => self,
        }
    }

    /// With JSON.
    pub fn json(self, body: &impl Serialize) -> Response {
        match serde_json::to_vec(body) {
            Ok(json) => self.content(MediaType::Json, Body::from(json)),
            Err(error) => {
                tracing::error!(%error, "an answer has no form in JSON");
                Problem::internal("the answer could not be written").into_response()
            }
        }
    }

    /// With JSON that is there already.
    pub fn prepared<T>(self, body: Prepared<T>) -> Response {
        self.content(MediaType::Json, Body::from(body.into_json()))
    }

    /// With content in some form.
    pub fn content(mut self, form: MediaType, body: Body) -> Response {
        let form = HeaderValue::from_static(form.as_str());
        self.0.headers_mut().insert(CONTENT_TYPE, form);
        *self.0.body_mut() = body;
        self.0
    }

    /// Without content.
    pub fn empty(self) -> Response {
        self.0
    }
}
