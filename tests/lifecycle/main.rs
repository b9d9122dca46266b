//! Life cycles of packages (MEC 010-2) on a running node: what is promised of instances, runs and notifications.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON gives null for a member that is missing, and a comparison says so"
)]

#[path = "../api/callback.rs"]
#[allow(dead_code, reason = "other tests use what these do not")]
mod callback;
#[path = "../api/http.rs"]
#[allow(dead_code, reason = "other tests use what these do not")]
mod http;

mod cancel;
mod ends;
mod life;
mod orchestrator;
mod restart;
mod signer;
