//! The local resolver: authoritative for the site zone, a forwarder for the rest.
//!
//! Answers `NAME.app.ZONE` for instances that are ready and the way back from their addresses, services by DNS-SD
//! (RFC 6763), and rules for names of others (ETSI MEC 011). The daemon derives one [`Records`] from its instances and
//! publishes it; the server answers from exactly that view until the next.
//!
//! It refuses to resolve: names of others go to the configured upstreams for sources that the view lets forward, and
//! to nobody for all other sources. It keeps no cache, transfers no zone, takes no updates.
//!
//! # Paths
//! Answers are prepared at publication. Plain questions are read by hand and answered by copying (`query`, `answer`);
//! everything else is parsed, judged and answered by hickory (`unusual`) from the same table, and forwarded questions
//! are hickory messages too (`forward`). A test holds both paths to the same answers.
//!
//! # Tasks
//! A task for each UDP socket, one for each TCP listener, one for each TCP connection and one for each forwarded
//! question; all bounded, all owned by [`DnsServer::run`] and joined when it ends. There are no channels: a view is
//! swapped under a lock that is held for one look-up.
//!
//! # Invariants
//! - A query that arrives after [`Directory::publish`] returned sees the new view.
//! - No name of an instance can be taken by a rule ([`Rule::new`]).
//! - An answer from our own zones over UDP is at most three times its question.

#[cfg(test)]
mod agreement;
mod answer;
mod counters;
mod directory;
mod domain;
mod forward;
mod query;
mod records;
mod responder;
mod server;
mod table;
mod tcp;
mod udp;
mod unusual;

pub use counters::Counts;
pub use directory::Directory;
pub use domain::{Domain, DomainError, Subnet, Zone};
pub use records::{InstanceName, RecordError, Records, Rule, ServiceRecord, Transport};
pub use server::{DnsConfig, DnsServer, StartError};
pub use table::PublishError;
