//! Black-box tests: a real node, looked at from outside.
//!
//! For: what a test of a whole node needs: [`lab::Lab`] (a registry, a node, images), [`ground::Ground`] (what boxes are
//! made of), [`world::World`] (what is in the kernel), [`document::Library`] and [`schema::fits`] (the API documents),
//! [`tls::shown_at`] (a certificate that is shown), [`report::Report`] for targets whose tests have an order of their own.
//! Refuses: to look inside. Nothing here uses a crate of the device; a test sees what an operator, an application or the
//! kernel sees.

pub mod document;
pub mod ground;
pub mod images;
pub mod lab;
pub mod report;
pub mod schema;
pub mod tls;
pub mod world;
