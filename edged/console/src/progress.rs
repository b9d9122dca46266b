//! Progress of what takes long, told without ever slowing it down.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use edged_model::Bytes;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Output;

/// Steps not yet printed; more are dropped, since only the newest matters.
const STEPS: usize = 16;
/// What ends sooner says nothing: nobody had time to wonder.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pace of lines about the same step.
const PACE: Duration = Duration::from_secs(1);

/// A step that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What happens, as `pulling layer 2 of 5`.
    pub step: String,
    /// How much is done, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Bytes>,
    /// How much there is to do, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Bytes>,
}

/// Where a platform tells its steps.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Step>);

impl Progress {
    /// Tells a step; dropped where the reader is behind or gone.
    pub fn tell(&self, step: Step) {
        let _ = self.0.try_send(step);
    }

    /// Tells a step that has no size.
    pub fn say(&self, step: impl Into<String>) {
        self.tell(Step {
            step: step.into(),
            done: None,
            total: None,
        });
    }

    /// A sink and what reads it, for tests of platforms.
    pub fn channel() -> (Self, mpsc::Receiver<Step>) {
        let (sender, receiver) = mpsc::channel(STEPS);
        (Self(sender), receiver)
    }
}

/// Does `work`, and writes the steps it tells once it has taken longer than [`PATIENCE`].
pub(crate) async fn watched<T, F, W>(
    output: Output,
    err: &mut W,
    work: impl FnOnce(Progress) -> F,
) -> T
where
    F: Future<Output = T>,
    W: AsyncWrite + Unpin,
{
    let (progress, steps) = Progress::channel();
    // Both are polled side by side: a client that reads no progress never holds up the work.
    tokio::select! {
        biased;
        done = work(progress) => done,
        never = print(output, err, steps) => match never {},
    }
}

async fn print<W: AsyncWrite + Unpin>(
    output: Output,
    err: &mut W,
    mut steps: mpsc::Receiver<Step>,
) -> Infallible {
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let mut latest = None;
    loop {
        tokio::select! {
            () = &mut patience => break,
            Some(step) = steps.recv() => latest = Some(step),
        }
    }
    let mut printed: Option<(String, Instant)> = None;
    loop {
        if let Some(step) = latest.take() {
            let due = printed
                .as_ref()
                .is_none_or(|(text, at)| *text != step.step || at.elapsed() >= PACE);
            if due {
                // A client that has closed its standard error still gets its answer.
                let _ = err.write_all(line(output, &step).as_bytes()).await;
                let _ = err.flush().await;
                printed = Some((step.step, Instant::now()));
            }
        }
        match steps.recv().await {
            Some(step) => latest = Some(step),
            None => std::future::pending().await,
        }
    }
}

fn line(output: Output, step: &Step) -> String {
    match output {
        Output::Json => crate::render::json_line(step),
        Output::Table => match (step.done, step.total) {
            (Some(done), Some(total)) => format!("{}: {done} of {total}\n", step.step),
            (Some(done), None) => format!("{}: {done}\n", step.step),
            _ => format!("{}\n", step.step),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn quick_work_says_nothing() {
        let mut err = Vec::new();
        watched(Output::Table, &mut err, |progress| async move {
            progress.say("opening");
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .await;
        assert_eq!(err, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_tells_its_newest_step_and_every_new_one() {
        let mut err = Vec::new();
        watched(Output::Table, &mut err, |progress| async move {
            progress.say("first");
            progress.tell(Step {
                step: "second".into(),
                done: Some(Bytes(1 << 20)),
                total: Some(Bytes(2 << 20)),
            });
            tokio::time::sleep(Duration::from_secs(3)).await;
            progress.say("third");
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .await;
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "second: 1.0 MiB of 2.0 MiB\nthird\n"
        );
    }
}
