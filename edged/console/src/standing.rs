//! What a caller may do.

use crate::{
    ErrorKind, ImageKeyVerb, PackageVerb, PlatformError, PolicyVerb, ProofVerb, TrustVerb, Verb,
};

/// What a caller may do, by the key it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An operator of the box: everything.
    Operator,
    /// Whom an operator let in for a while: everything but what would let it in again, or show it others' secrets. What it
    /// runs and changes stays.
    Guest,
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
            (Self::Guest, verb) => for_a_while(verb),
            (Self::Commissioner, Verb::Trust(proof)) if proof.is_open() => Ok(()),
            (Self::Commissioner, _) => Err(PlatformError::new(
                ErrorKind::Conflict,
                "this box is nobody's yet: only status, trust and commission work",
            )
            .with_hint("make it yours with commission [--site SITE] < YOUR-KEY.pub")),
        }
    }
}

/// Refuses what would open the box when the guest's time is over.
fn for_a_while(verb: &Verb) -> Result<(), PlatformError> {
    let why = match verb {
        Verb::Trust(ProofVerb::Keys {
            images: Some(ImageKeyVerb::Issue(_)),
        }) => "who came with a certificate issues none, or its own would never end",
        Verb::Trust(
            ProofVerb::Keys {
                images: Some(ImageKeyVerb::Add(_) | ImageKeyVerb::Remove { .. }),
            }
            | ProofVerb::Policy(PolicyVerb::Set { .. }),
        )
        | Verb::Package(PackageVerb::Trust(TrustVerb::Add { .. } | TrustVerb::Rm { .. })) => {
            "who came with a certificate does not say whose software is taken: that would outlive it"
        }
        Verb::Exec(_) => {
            "who came with a certificate runs no commands in applications: their secrets would outlive it"
        }
        Verb::Access { .. } => {
            "who came with a certificate gets no access: its token and the broker's password would outlive it"
        }
        Verb::Commission { .. } => {
            "who came with a certificate does not commission: the box and its recovery key are its operators'"
        }
        _ => return Ok(()),
    };
    Err(PlatformError::new(ErrorKind::Conflict, why)
        .with_hint("come with a key that is on the box's own list, or ask somebody who has one"))
}
