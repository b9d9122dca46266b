//! The ETSI MEC interfaces as types, traits and routers.
//!
//! For: one parse of every request. `cargo board generate` writes a module for each document of `openapi/`: the types
//! with their rules, a request and an answer for each operation, a trait with a method for each, and the router that
//! leads from one to the other. Written by hand are what all of them need: [`Problem`], [`ETag`] and [`IfMatch`],
//! [`check`], and the reading of requests in `http`. Refuses: I/O, state, and to know who may do what.
//!
//! Invariants: a handler sees only requests that keep the document; whatever does not is answered with a problem
//! (RFC 9457) that names the member or parameter at fault. Every answer has a status and the headers that its document
//! declares, because there is no other way to make one.
//!
//! A router is mounted at its `BASE` below a layer that puts the caller (the trait's `Caller`) into the extensions of
//! the request:
//!
//! ```text
//! Router::new()
//!     .nest(service_management::BASE, service_management::router(api))
//!     .layer(from_fn(who_calls))
//! ```

pub mod app_support;
pub mod bandwidth;
pub mod check;
pub mod common;
mod documents;
mod etag;
mod http;
mod kinds;
pub mod lifecycle;
mod number;
mod one_or_many;
pub mod package_management;
mod prepared;
mod problem;
mod selected;
pub mod service_management;
mod strict;
mod words;

pub use documents::{Document, documents};
pub use etag::{ETag, IfMatch};
pub use http::{MAX_JSON, MAX_URI, MediaType, read_json};
pub use one_or_many::OneOrMany;
pub use prepared::Prepared;
pub use problem::{PROBLEM_JSON, Problem};
pub use selected::Selected;
pub use words::UnknownWord;
