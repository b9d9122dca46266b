//! Log lines: read from the worker in pieces, followed by waking when it says that there are more.

use edged_console::{LOG_LINES, LogLine, LogQuery, PlatformError, Stream};
use edged_model::InstanceId;
use edged_protocol::worker::{self, Command, Reply};
use tokio::sync::mpsc;

use crate::link::worker::Worker;
use crate::link::{Failure, RECONNECT};
use crate::snapshot::Reader;

/// Starts reading; the channel ends after the last kept line, or when a followed instance is gone.
pub async fn read(
    worker: Worker,
    instance: InstanceId,
    query: LogQuery,
    reader: Reader,
) -> Result<mpsc::Receiver<LogLine>, PlatformError> {
    // The first piece before anything is promised, so that a failure is the verb's.
    let first = piece(&worker, &instance, 0, query.tail).await?;
    let (sender, lines) = mpsc::channel(LOG_LINES);
    tokio::spawn(async move {
        let Some(mut after) = send(&sender, first, 0).await else {
            return;
        };
        loop {
            // Armed before the look, so that a line between look and wait still wakes.
            let watch = if query.follow {
                worker.watch_log(&instance).await.ok()
            } else {
                None
            };
            let woken = watch.as_ref().map(|watch| watch.notified());
            match piece(&worker, &instance, after, None).await {
                Ok(lines) if !lines.is_empty() => match send(&sender, lines, after).await {
                    Some(seen) => after = seen,
                    None => break,
                },
                _ if !query.follow => break,
                _ if reader.borrow().by_id(&instance).is_none() => break,
                _ => match woken {
                    Some(woken) => tokio::select! {
                        () = woken => {}
                        () = sender.closed() => break,
                        () = tokio::time::sleep(RECHECK) => {}
                    },
                    None => tokio::time::sleep(RECONNECT).await,
                },
            }
        }
    });
    Ok(lines)
}

/// A follower looks this often whether its instance still exists.
const RECHECK: std::time::Duration = std::time::Duration::from_secs(2);

async fn piece(
    worker: &Worker,
    instance: &InstanceId,
    after: u64,
    tail: Option<u32>,
) -> Result<Vec<worker::LogLine>, Failure> {
    match worker
        .ask(Command::ReadLog {
            instance: instance.clone(),
            after,
            tail,
        })
        .await?
    {
        Reply::Log { lines } => Ok(lines),
        _ => Err(Failure::Unexpected("worker")),
    }
}

/// Sends lines; the last sequence number, or `None` when nobody reads any more.
async fn send(
    sender: &mpsc::Sender<LogLine>,
    lines: Vec<worker::LogLine>,
    mut after: u64,
) -> Option<u64> {
    for line in lines {
        after = line.seq;
        let stream = match line.stream {
            worker::Stream::Stdout => Stream::Stdout,
            worker::Stream::Stderr => Stream::Stderr,
        };
        sender
            .send(LogLine {
                time: line.time,
                stream,
                text: line.text,
            })
            .await
            .ok()?;
    }
    Some(after)
}
