//! `exec`.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use edged_model::{AppName, ExitCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Answer, ExitStatus, Stop};
use crate::{ErrorKind, ExecEvent, Platform, PlatformError, Stream};

/// Bytes of input read at once: the size of a pipe's quarter, small enough to hold for every client.
const INPUT_CHUNK: usize = 16 << 10;
/// Chunks of input under way to the command.
const INPUT_CHUNKS: usize = 8;
/// What shells add to a signal's number.
const SIGNAL_BASE: i32 = 128;
/// What shells report of a process ended by SIGKILL, as the kernel does for want of memory.
const KILLED: u8 = 137;

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    /// Bytes pass as they are, whatever the output form.
    pub(super) async fn exec<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        name: &AppName,
        command: Vec<String>,
        input: Option<I>,
    ) -> Result<ExitStatus, Stop> {
        let (feeding, chunks) = match input {
            Some(input) => {
                let (sender, receiver) = mpsc::channel(INPUT_CHUNKS);
                (Some((input, sender)), Some(receiver))
            }
            None => (None, None),
        };
        let events = platform.exec(name, command, chunks).await?;
        // Side by side: a command may write without end before it reads.
        let code = tokio::select! {
            shown = self.show_events(events) => shown?,
            never = feed(feeding) => match never {},
        };
        match code {
            ExitCode::Code(code) => Ok(ExitStatus(code)),
            ExitCode::Signal(signal) => Ok(ExitStatus(
                u8::try_from(SIGNAL_BASE + signal).unwrap_or(u8::MAX),
            )),
            ExitCode::OutOfMemory => Ok(ExitStatus(KILLED)),
            ExitCode::Unknown => Err(lost(name).into()),
        }
    }

    async fn show_events(
        &mut self,
        mut events: mpsc::Receiver<ExecEvent>,
    ) -> Result<ExitCode, Stop> {
        while let Some(event) = events.recv().await {
            match event {
                ExecEvent::Output { stream, bytes } => match stream {
                    Stream::Stdout => {
                        self.out.write_all(&bytes).await?;
                        self.out.flush().await?;
                    }
                    Stream::Stderr => {
                        self.err.write_all(&bytes).await?;
                        self.err.flush().await?;
                    }
                },
                ExecEvent::Ended(code) => return Ok(code),
            }
        }
        // The platform lost sight of it, as when its worker ended.
        Ok(ExitCode::Unknown)
    }
}

fn lost(name: &AppName) -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        format!("the command in {name} was lost from sight, so its exit code is not known"),
    )
    .with_hint("status shows whether a part of the box was restarted")
}

/// Passes input on until it ends or the command takes no more; then waits to be dropped.
async fn feed<I: AsyncRead + Unpin>(feeding: Option<(I, mpsc::Sender<Bytes>)>) -> Infallible {
    if let Some((mut input, chunks)) = feeding {
        loop {
            let mut chunk = BytesMut::with_capacity(INPUT_CHUNK);
            match input.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(_) if chunks.send(chunk.freeze()).await.is_err() => break,
                Ok(_) => {}
            }
        }
    }
    std::future::pending().await
}
