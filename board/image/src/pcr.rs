//! Platform configuration registers, as [`edged_evidence`] has them.

pub use edged_evidence::pcr::{Event, REGISTERS, Value, replay};
