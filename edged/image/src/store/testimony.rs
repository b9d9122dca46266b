//! What was said for an image when it came, kept beside it: so that it is judged again, by the keys and the policy of a
//! later day.

use edged_model::Digest;
use edged_signature::{Accepted, SIGNATURES_MAX, Statement};
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// The signatures of an image, and the digests that may be signed. A document of the store like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Testimony {
    /// The index, where there was one, and the manifest.
    pub(super) chain: Vec<Digest>,
    signatures: Vec<Said>,
}

/// A payload and its signature, byte by byte as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// JSON, so it is text.
    payload: String,
    signature: String,
}

/// An image that was judged when it came.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// By which signature it was taken.
    pub(crate) accepted: Accepted,
    /// All that were there, also of keys that are not known: tomorrow they may be.
    pub(crate) testimony: Testimony,
}

impl Testimony {
    /// What of all that was said is about the image of this chain.
    pub(crate) fn of(chain: &[Digest], statements: &[Statement]) -> Result<Self, Refusal> {
        let said = |statement: &Statement| {
            let signature = statement.signature.clone()?;
            let payload = String::from_utf8(statement.payload.clone()).ok()?;
            statement
                .names(chain)
                .then_some(Said { payload, signature })
        };
        let signatures: Vec<Said> = statements.iter().filter_map(said).collect();
        // A registry shows this many a digest; an archive could bring any number.
        if signatures.len() > SIGNATURES_MAX.saturating_mul(chain.len()) {
            return Err(edged_signature::Refusal::TooMany(signatures.len()).into());
        }
        Ok(Self {
            chain: chain.to_vec(),
            signatures,
        })
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        serde_json::to_vec(self).map_err(|error| Refusal::Syntax {
            document: "list of signatures",
            reason: error.to_string(),
        })
    }

    /// As they came.
    pub(super) fn statements(self) -> Vec<Statement> {
        let all = self.signatures.into_iter();
        all.map(|said| Statement {
            payload: said.payload.into_bytes(),
            signature: Some(said.signature),
        })
        .collect()
    }
}
