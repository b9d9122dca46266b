//! The log of a real boot beside what the build foretold, as [`edged_evidence`] reads and compares them.

pub use edged_evidence::log::{Difference, differences, events, explains};
