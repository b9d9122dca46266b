//! How every declared answer is brought about, or why it cannot be.
//!
//! A row is an operation: a call that succeeds, and what differs from the common ways of `walk::plan`. The common ways
//! change the good call: a parameter that nobody knows (400), no token (401), another instance's token (403), a name
//! that nothing has (404), an image as the only acceptable form (406), another version (412), a body too long (413), a
//! URI too long (414), a body in another form (415), a caller who asks too fast (429).

mod bandwidth;
mod lifecycle;
mod packages;
mod services;
mod support;
mod token;

use crate::bench::{Bench, Call};
use crate::http::Answer;

/// A call, with everything that it needs made first.
pub type Good = Box<dyn Fn(&Bench) -> anyhow::Result<Call>>;
/// What has to hold after a success.
pub type After = fn(&Bench, &Call, &Answer) -> anyhow::Result<()>;

/// An answer that has a way of its own.
pub enum How {
    By(Good),
    /// The row's good call, while the guardian is away.
    Unguarded,
    Never(&'static str),
}

/// One operation.
pub struct Row {
    /// `DOCUMENT/OPERATION`.
    pub operation: &'static str,
    good: Good,
    pub answers: Vec<(u16, How)>,
    pub after: Option<After>,
}

impl Row {
    /// A new call that succeeds.
    pub fn good(&self, bench: &Bench) -> anyhow::Result<Call> {
        (self.good)(bench)
    }

    fn by(self, status: u16, call: impl Fn(&Bench) -> anyhow::Result<Call> + 'static) -> Self {
        self.with(status, How::By(Box::new(call)))
    }

    /// 503, because the kernel cannot be told.
    fn guarded(self) -> Self {
        self.with(503, How::Unguarded)
    }

    fn never(self, status: u16, reason: &'static str) -> Self {
        self.with(status, How::Never(reason))
    }

    fn with(mut self, status: u16, how: How) -> Self {
        self.answers.retain(|(it, _)| *it != status);
        self.answers.push((status, how));
        self
    }

    fn after(self, after: After) -> Self {
        Self {
            after: Some(after),
            ..self
        }
    }
}

/// Needs nothing of the worker, the guardian and the broker.
const WITHIN: &str = "all it needs is in edged and on its disk; tests/faults has the full disk";

fn row(operation: &'static str, good: impl Fn(&Bench) -> anyhow::Result<Call> + 'static) -> Row {
    Row {
        operation,
        good: Box::new(good),
        answers: vec![(503, How::Never(WITHIN))],
        after: None,
    }
}

/// All of them.
pub fn rows() -> Vec<Row> {
    [
        token::rows(),
        support::rows(),
        services::rows(),
        packages::rows(),
        lifecycle::rows(),
        bandwidth::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
