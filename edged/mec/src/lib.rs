//! The MEC interfaces over HTTP: tokens, readiness and the service registry.
//!
//! What is here is the part of MEC 009 and MEC 011 that an application needs to be part of the platform: a token
//! (`/token`, OAuth 2.0 client credentials), `confirm_ready`, and its services in the registry; beside it `/healthz`,
//! `/readyz` and `/metrics`. State lives behind [`Platform`]; this crate parses, authorizes and answers.
//!
//! Tasks: one accept loop a listener ([`serve`]), one task a connection, at most [`serve::CONNECTIONS`] at once.

mod authority;
mod bandwidth;
mod caller;
mod node;
mod platform;
pub mod query;
mod routes;
pub mod serve;
mod service;
mod token;

pub use authority::{Authority, AuthorityError};
pub use caller::{Caller, Gate, REQUESTS_AT_ONCE, Scheme, authorize};
pub use mec_api::Problem;
pub use node::{Facts, Mec};
pub use platform::{Allocated, Application, Deployment, Picture, Platform, Registration};
pub use routes::router;
pub use service::{RegisteredService, ServiceInfo};
pub use token::{Access, TokenError, Tokens};
