//! The MEC interfaces over HTTP: tokens, readiness and the service registry.
//!
//! What is here is the part of MEC 009 and MEC 011 that an application needs to be part of the platform: a token
//! (`/token`, OAuth 2.0 client credentials), `confirm_ready`, and its services in the registry; beside it `/healthz`,
//! `/readyz` and `/metrics`. State lives behind [`Platform`]; this crate parses, authorizes and answers.
//!
//! Tasks: one accept loop a listener ([`serve`]), one task a connection, at most [`serve::CONNECTIONS`] at once.

mod authority;
mod problem;
mod routes;
pub mod serve;
mod service;
mod token;

use std::future::Future;

use edged_model::InstanceId;

pub use authority::{Authority, AuthorityError};
pub use problem::Problem;
pub use routes::router;
pub use service::{RegisteredService, ServiceInfo};
pub use token::{Access, TokenError, Tokens};

/// What the interfaces ask of the box.
pub trait Platform: Clone + Send + Sync + 'static {
    /// Whether an instance exists.
    fn knows(&self, instance: &InstanceId) -> bool;
    /// Whether this is the instance's client secret; compared in constant time.
    fn is_secret_of(&self, instance: &InstanceId, secret: &str) -> bool;
    /// The instance says that it is ready.
    fn confirm_ready(
        &self,
        instance: InstanceId,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Every registered service, oldest first.
    fn services(&self) -> Vec<RegisteredService>;
    /// Adds a service or replaces it; answered when it is durable and announced.
    fn put_service(
        &self,
        service: RegisteredService,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Removes a service; answered when it is durable and withdrawn.
    fn remove_service(&self, id: String) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Whether the node does its work, and if not, what is missing.
    fn readiness(&self) -> Result<(), String>;
    /// Prometheus text (exposition format 0.0.4).
    fn metrics(&self) -> String;
}
