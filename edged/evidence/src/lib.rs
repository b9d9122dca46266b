//! What a TPM and a measured boot say, and whether it is true: pure.
//!
//! [`pcr`] are registers and what is put into them, [`log`] reads a firmware's event log and says which event was not as
//! the build foretold ([`golden`]).

pub mod golden;
pub mod log;
pub mod pcr;
