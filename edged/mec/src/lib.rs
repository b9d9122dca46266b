//! The MEC interfaces over HTTP: what `mec-api` generates from `openapi/`, implemented over one [`Platform`].
//!
//! One folder an interface implements its generated trait; beside them what all share (MEC 009): tokens and who may do
//! what ([`Gate`], [`Caller`]), subscriptions ([`Mec::subscribe`]), lists ([`query`]), and `/token`, `/healthz`, `/readyz`
//! and `/metrics`. An answer of success is given only after the platform's own: the kernel, the resolver and the store
//! have it.
//!
//! Tasks: one accept loop a listener ([`serve`]), one task a connection, at most [`serve::CONNECTIONS`] at once.

mod app_support;
mod bandwidth;
mod caller;
mod docs;
pub mod download;
pub mod fixture;
mod lifecycle;
mod news;
mod node;
mod node_api;
mod numbers;
pub mod package_management;
mod platform;
pub mod query;
mod routes;
pub mod serve;
mod service;
mod service_management;
mod subscribe;
mod termination;
mod token;

pub use app_support::{dns, traffic};
pub use caller::{Caller, Gate, REQUESTS_AT_ONCE, Scheme, authorize};
pub use lifecycle::{run_operations, watch_instances};
pub use mec_api::Problem;
pub use news::tell_news;
pub use node::{Facts, Mec};
pub use node_api::{ApplicationStatus, NodeStatus, PartStatus, document as node_document};
pub use platform::{
    Allocated, Application, Clock, Deployment, NtpSource, Picture, Platform, Registration,
    Statement,
};
pub use routes::router;
pub use service::RegisteredService;
pub use service_management::{Offered, watch_heartbeats};
pub use subscribe::{Asked, Uris};
pub use token::{Access, AppClaim, BoxClaim, Origin, PcrClaim, TokenError, Tokens};
