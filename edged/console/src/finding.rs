//! What is true, since when, what it means and what to do: the shape of every `status` that makes promises.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::render::Look;
use crate::table::{Tone, paint};

/// How a promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// It holds.
    Ok,
    /// Nobody promised it here: what it needs is not there, or was not asked for.
    Off,
    /// It holds, and something needs somebody before long.
    Warning,
    /// It should hold and does not.
    Failed,
}

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is promised, in two or three words.
    pub what: String,
    /// How it stands.
    pub state: FindingState,
    /// Unix seconds since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<u64>,
    /// What that means, in a sentence.
    pub means: String,
    /// What to do about it; absent where there is nothing to do.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none", default)]
    pub todo: Option<String>,
}

impl Finding {
    /// A promise and how it stands.
    pub fn new(what: impl Into<String>, state: FindingState, means: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state,
            since: None,
            means: means.into(),
            todo: None,
        }
    }

    /// Since when.
    #[must_use]
    pub fn since(self, seconds: u64) -> Self {
        Self {
            since: Some(seconds),
            ..self
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn todo(self, what: impl Into<String>) -> Self {
        Self {
            todo: Some(what.into()),
            ..self
        }
    }
}

/// Whether nothing failed: what a `status` ends with 0 for.
pub fn is_well(all: &[Finding]) -> bool {
    all.iter()
        .all(|finding| finding.state != FindingState::Failed)
}

/// Findings as lines: state and promise, below it what that means and what to do.
pub(crate) fn findings(all: &[Finding], look: Look) -> String {
    let mut text = String::new();
    for one in all {
        let (word, tone) = match one.state {
            FindingState::Ok => ("ok", Tone::Good),
            FindingState::Off => ("off", Tone::Plain),
            FindingState::Warning => ("warning", Tone::Busy),
            FindingState::Failed => ("failed", Tone::Bad),
        };
        // Padded before it is painted: what paints has no width.
        let state = paint(&format!("{word:<8}"), tone, look.color);
        let since = one.since.map_or(String::new(), |at| {
            let span = crate::measure::span(look.now.saturating_sub(at));
            format!(", for {span}")
        });
        let _ = writeln!(text, "{state} {}{since}", one.what);
        let _ = writeln!(text, "         {}", one.means);
        if let Some(todo) = &one.todo {
            let _ = writeln!(text, "         do: {todo}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_is_true_since_when_and_what_to_do() {
        let look = Look {
            color: false,
            now: 1_000,
        };
        let all = [
            Finding::new("identity", FindingState::Ok, "the key is in the TPM").since(940),
            Finding::new("secrets", FindingState::Off, "software keys").todo("fit a TPM"),
        ];
        assert_eq!(
            findings(&all, look),
            "ok       identity, for 1 min\n         the key is in the TPM\n\
             off      secrets\n         software keys\n         do: fit a TPM\n"
        );
        assert!(is_well(&all));
    }

    #[test]
    fn only_what_failed_is_not_well() {
        let of = |state| [Finding::new("it", state, "is so")];
        assert!(is_well(&of(FindingState::Warning)));
        assert!(!is_well(&of(FindingState::Failed)));
    }
}
