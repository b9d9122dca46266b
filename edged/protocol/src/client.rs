//! edged's end of a connection: requests answered by their id, events apart, reconnection left to the owner.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::frame::{FRAME_MAX, Frame, FrameError, decode, encode};

/// Requests under way at once; more wait for a place. edged has a handful of tasks that ask.
const IN_FLIGHT: usize = 64;
/// Events not yet taken; a reader this far behind is stuck, and the connection is given up.
const EVENTS: usize = 1024;
/// Longest wait for an answer: unpacking a large layer is the slowest request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot reach {path}: {source}; is its process running?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The other end has gone; whether the request was carried out is not known.
    #[error("the connection to {0} was lost before it answered")]
    Lost(PathBuf),
    /// The other end is silent.
    #[error("{0} did not answer in {ANSWER_TIMEOUT:?}")]
    Silent(PathBuf),
    /// The request does not fit a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

type Pending<R> = Arc<Mutex<HashMap<u64, oneshot::Sender<R>>>>;

/// A connection. Cloning shares it.
#[derive(Debug)]
pub struct Client<C, R> {
    path: Arc<Path>,
    next: Arc<AtomicU64>,
    pending: Pending<R>,
    requests: mpsc::Sender<Vec<u8>>,
    command: PhantomData<fn(C)>,
}

impl<C, R> Clone for Client<C, R> {
    fn clone(&self) -> Self {
        Self {
            path: Arc::clone(&self.path),
            next: Arc::clone(&self.next),
            pending: Arc::clone(&self.pending),
            requests: self.requests.clone(),
            command: PhantomData,
        }
    }
}

impl<C: Serialize, R: DeserializeOwned + Send + 'static> Client<C, R> {
    /// Connects. The receiver yields events and ends when the connection does.
    pub async fn connect<E>(path: &Path) -> Result<(Self, mpsc::Receiver<E>), ClientError>
    where
        E: DeserializeOwned + Send + 'static,
    {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect {
                path: path.to_owned(),
                source,
            })?;
        let (read, write) = stream.into_split();
        let (requests, outgoing) = mpsc::channel(IN_FLIGHT);
        let (events, incoming) = mpsc::channel(EVENTS);
        let pending: Pending<R> = Arc::default();
        let waiting = Arc::clone(&pending);
        tokio::spawn(async move {
            // Whichever half ends first ends the connection: the other is dropped, and every waiter is told by its
            // dropped sender.
            tokio::select! {
                () = send(write, outgoing) => {}
                () = receive(read, &waiting, events) => {}
            }
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        });
        let client = Self {
            path: path.into(),
            next: Arc::default(),
            pending,
            requests,
            command: PhantomData,
        };
        Ok((client, incoming))
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, command: C) -> Result<R, ClientError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = encode(&Frame {
            message: command,
            id: Some(id),
        })?;
        let (answer, answered) = oneshot::channel();
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, answer);
        let lost = || ClientError::Lost(self.path.to_path_buf());
        let result = match self.requests.send(line).await {
            Err(_) => Err(lost()),
            Ok(()) => match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
                Ok(answer) => answer.map_err(|_| lost()),
                Err(_) => Err(ClientError::Silent(self.path.to_path_buf())),
            },
        };
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        result
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

async fn send(mut write: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = outgoing.recv().await {
        if write.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn receive<R, E>(read: OwnedReadHalf, pending: &Pending<R>, events: mpsc::Sender<E>)
where
    R: DeserializeOwned,
    E: DeserializeOwned,
{
    let mut reader = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(FRAME_MAX).unwrap_or(u64::MAX);
        let taken = (&mut reader).take(limit).read_until(b'\n', &mut line).await;
        if !matches!(taken, Ok(1..)) || line.last() != Some(&b'\n') {
            return;
        }
        // A reply and an event share no command names, so what does not parse as one is tried as the other.
        match decode::<R>(&line) {
            Ok(Frame {
                message,
                id: Some(id),
            }) => {
                let waiter = pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&id);
                if let Some(waiter) = waiter {
                    // The asker may have given up: then nobody misses the answer.
                    let _ = waiter.send(message);
                }
            }
            _ => match decode::<E>(&line) {
                Ok(frame) => {
                    if events.try_send(frame.message).is_err() {
                        return tracing::error!("events are not taken; the connection is given up");
                    }
                }
                Err(error) => {
                    return tracing::error!(%error, "a frame that is neither reply nor event");
                }
            },
        }
    }
}
