//! Application packages (MEC 010-2, MEC 037) on a running node: made by edgectl, on-boarded, refused, deleted.
//!
//! What is spoilt is spoilt by hand and, where it is meant to be seen behind the signature, sealed again by openssl.

#![allow(
    clippy::indexing_slicing,
    reason = "a member that a JSON value lacks is null, never a panic"
)]

#[path = "../api/callback.rs"]
#[allow(dead_code, reason = "other tests use what these do not")]
mod callback;
#[path = "../api/http.rs"]
#[allow(dead_code, reason = "other tests use what these do not")]
mod http;

mod bad;
mod console;
mod csar;
mod desk;
mod restart;
mod round_trip;
mod told;
