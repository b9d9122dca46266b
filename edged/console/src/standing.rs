//! What a caller may do.

use crate::{ErrorKind, PlatformError, Verb};

/// What a caller may do, by the key it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An operator of the box: everything.
    Operator,
    /// Whoever may commission a box that has no operators yet: that, and looking at it.
    Commissioner,
}

impl Standing {
    /// Whether the verb is the caller's to use.
    ///
    /// # Errors
    /// A sentence that says what to do first.
    pub(crate) fn check(self, verb: &Verb) -> Result<(), PlatformError> {
        match (self, verb) {
            (Self::Operator, _) | (Self::Commissioner, Verb::Status | Verb::Commission { .. }) => {
                Ok(())
            }
            (Self::Commissioner, Verb::Trust(proof)) if proof.is_open() => Ok(()),
            (Self::Commissioner, _) => Err(PlatformError::new(
                ErrorKind::Conflict,
                "this box is nobody's yet: only status, trust and commission work",
            )
            .with_hint("make it yours with commission [--site SITE] < YOUR-KEY.pub")),
        }
    }
}
