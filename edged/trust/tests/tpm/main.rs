//! What the box asks its TPM, with a real software TPM and with tpm2-tools beside it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod keys;
mod policy;
mod quotes;
mod swtpm;
