//! A command in a container: its input from the client, its output to it, its end at the end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use edged_console::{EXEC_EVENTS, ExecEvent, PlatformError, Stream};
use edged_model::{ExitCode, InstanceId};
use edged_protocol::worker::{self, Command, Event};
use tokio::sync::mpsc;

use crate::link::Failure;
use crate::link::worker::Worker;

/// Input of one frame: base64 makes it 44 KiB, far below the frame's bound.
const INPUT_PIECE: usize = 32 << 10;

/// Pieces of output that are confirmed together: a quarter of the window, so that it never runs dry.
const TAKEN_AT_ONCE: u32 = worker::EXEC_WINDOW / 4;
/// Pause before a piece is sent again to a command that is slower than its input.
const INPUT_PAUSE: Duration = Duration::from_millis(20);

/// Starts a command.
pub async fn start(
    worker: Worker,
    instance: InstanceId,
    command: Vec<String>,
    input: Option<mpsc::Receiver<Bytes>>,
) -> Result<mpsc::Receiver<ExecEvent>, PlatformError> {
    let (exec, events) = worker.exec(instance, command, input.is_some()).await?;
    let (sender, receiver) = mpsc::channel(EXEC_EVENTS);
    tokio::spawn(async move {
        // Cancel-safe: output that ends first ends the input with it, and a client that goes ends both.
        tokio::select! {
            () = output(&worker, exec, events, &sender) => {}
            () = feed(&worker, exec, input) => {}
            () = sender.closed() => {}
        }
        // Harmless after its end; needed when the client went first.
        let _ = worker.order(Command::ExecKill { exec }).await;
    });
    Ok(receiver)
}

/// Passes output on and tells the worker how much was taken, so that a slow client slows the command and nobody else.
async fn output(
    worker: &Worker,
    exec: u64,
    mut events: mpsc::Receiver<Event>,
    sender: &mpsc::Sender<ExecEvent>,
) {
    let mut pieces = 0;
    while let Some(event) = events.recv().await {
        let told = match event {
            Event::ExecOutput { stream, bytes, .. } => {
                let stream = match stream {
                    worker::Stream::Stdout => Stream::Stdout,
                    worker::Stream::Stderr => Stream::Stderr,
                };
                let bytes = STANDARD.decode(bytes).unwrap_or_default().into();
                ExecEvent::Output { stream, bytes }
            }
            Event::ExecEnded { code, .. } => {
                // Nobody reads it: the client has gone.
                let _ = sender.send(ExecEvent::Ended(code)).await;
                return;
            }
            Event::Exited { .. } | Event::Logged { .. } => continue,
        };
        if sender.send(told).await.is_err() {
            return;
        }
        pieces += 1;
        if pieces >= TAKEN_AT_ONCE {
            // A lost line ends the exec by itself.
            let _ = worker.order(Command::ExecTaken { exec, pieces }).await;
            pieces = 0;
        }
    }
    // The worker was restarted: how the command ended is not known.
    let _ = sender.send(ExecEvent::Ended(ExitCode::Unknown)).await;
}

/// Sends input to its end; never returns, since the end of the input is not the end of the command.
async fn feed(worker: &Worker, exec: u64, input: Option<mpsc::Receiver<Bytes>>) {
    if let Some(input) = input {
        send_all(worker, exec, input).await;
    }
    std::future::pending::<()>().await;
}

async fn send_all(worker: &Worker, exec: u64, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        for piece in bytes.chunks(INPUT_PIECE) {
            if !send(worker, exec, STANDARD.encode(piece), false).await {
                return;
            }
        }
    }
    send(worker, exec, String::new(), true).await;
}

/// Sends one piece, again while the command is too slow for it; false when it takes no more.
async fn send(worker: &Worker, exec: u64, bytes: String, end: bool) -> bool {
    loop {
        match worker
            .order(Command::ExecInput {
                exec,
                bytes: bytes.clone(),
                end,
            })
            .await
        {
            Ok(()) => return true,
            Err(Failure::Refused(refusal)) if refusal.transient => {
                tokio::time::sleep(INPUT_PAUSE).await;
            }
            Err(error) => {
                tracing::debug!(%error, exec, "the command takes no more input");
                return false;
            }
        }
    }
}
