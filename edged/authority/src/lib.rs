//! The box's own certificate authority: short-lived certificates, made when they are needed.
//!
//! What signs is a [`Sign`]: a key in the TPM, or one in a file ([`FileKey`]). The root is made once and outlives
//! everybody; a certificate below it is made when somebody connects to the box ([`Server`]), or the box to somebody who
//! asks for one ([`Client`]), and none is there that fits the clock. So nothing renews by a timer, no jump of the clock is
//! special, and a box that was off for a year is like any other.
//!
//! # Invariants
//! - No certificate but the root's is ever written by this crate.
//! - A certificate begins [`BACKDATED`] before its making and ends [`Purpose::life`] after it; only a broker's that is
//!   never told of another is for good.
//! - Two certificates never share a serial number: it is 127 random bits.

mod client;
mod durable;
mod file;
mod leaf;
mod mint;
mod request;
mod root;
mod server;
mod sign;
mod tls;

pub use client::Client;
pub use durable::{remove_durably, write_durably, write_private};
pub use file::FileKey;
pub use leaf::{BACKDATED, Certificate, LIFE, Names, Purpose};
pub use request::{REQUEST_MAX, RequestError, requested_key};
pub use root::{Authority, AuthorityError};
pub use server::Server;
pub use sign::{POINT, SIGNATURE, Sign, SignError};
