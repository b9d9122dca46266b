//! What PID 1 keeps in a TPM, with a real software TPM whose power fails.

#![allow(clippy::unwrap_used)]

mod counter;
mod swtpm;
mod volume;
