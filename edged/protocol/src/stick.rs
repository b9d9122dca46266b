//! What umec-stick says to edged. It is asked by being connected to, and hears no word.
//!
//! One frame without an `id`, then, after [`Reply::Bundle`], the bytes of the file and the end. Fewer bytes than were
//! announced: the stick went away.

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// Longest line: a name of 255 characters, or one sentence.
pub const LINE_MAX: u64 = 8 << 10;

/// What is on the stick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "data", rename_all = "kebab-case")]
pub enum Reply {
    /// One bundle; its bytes follow.
    Bundle {
        /// Its name there.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// Nothing that could be taken.
    Refused(Refusal),
}
