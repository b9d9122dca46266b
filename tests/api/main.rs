//! The MEC interfaces of a running node, seen through our documents of them.
//!
//! For: every operation and every declared answer (`walk`), tokens (`tokens`), notifications (`notifications`), a
//! fuzzer that reads the same documents (`schemathesis`) and somebody else's client (`mp1_client`). Refuses: to look
//! inside. Requests go to loopback and to the node's own network, never further.

#![allow(
    clippy::indexing_slicing,
    reason = "what a JSON value does not have is null, and an index beyond an array fails the test as it should"
)]

mod bench;
mod callback;
mod contract;
mod http;
mod mp1_client;
mod notifications;
mod packages;
mod schemathesis;
mod services;
mod silence;
mod subscribers;
mod table;
mod tokens;
mod walk;
