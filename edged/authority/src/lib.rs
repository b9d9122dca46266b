//! The box's own certificate authority: short-lived certificates, made when they are needed.
//!
//! What signs is a [`Sign`]: a key in the TPM, or one in a file.

mod sign;

pub use sign::{POINT, SIGNATURE, Sign, SignError};
