//! Input on its way to a verb, and the stop it puts to reading more.
//!
//! russh answers for the window as soon as data arrives, not when it is used. So a connection whose verb does not keep
//! up is simply not read: [`Gated`] holds the stream back while the [`Gate`] counts more than [`INPUT_HELD`] bytes.
//! Output goes on meanwhile, since writing never waits for reading.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::bounds::{INPUT_HELD, LOGIN_TIME};

/// What a connection's stream, its handler and its verbs share.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    /// Bytes waiting for verbs.
    held: usize,
    /// When the stream ends by itself: a key was not shown in time, or its bearer's time is over.
    end: Option<Instant>,
    /// The server ends.
    closed: bool,
    /// The reader, while it waits.
    reader: Option<Waker>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Count> {
        // Nothing panics while holding it; were it so, the counts are still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Count)) {
        let mut count = self.lock();
        change(&mut count);
        if let Some(reader) = count.reader.take() {
            reader.wake();
        }
    }

    /// Lets the stream go on for so long, or for as long as its client likes.
    pub(crate) fn stay(&self, stay: Option<Duration>) {
        // A time that no clock reaches is none.
        let end = stay.and_then(|stay| Instant::now().checked_add(stay));
        self.change(|count| count.end = end);
    }

    /// Lets the stream end.
    pub(crate) fn close(&self) {
        self.change(|count| count.closed = true);
    }
}

/// The end of the queue that the connection fills.
#[derive(Debug)]
pub(crate) struct Intake {
    gate: Arc<Gate>,
    // Bounded by the gate: what is read beyond INPUT_HELD is at most one packet.
    chunks: mpsc::UnboundedSender<Bytes>,
}

/// A verb's standard input.
#[derive(Debug)]
pub(crate) struct Input {
    gate: Arc<Gate>,
    chunks: mpsc::UnboundedReceiver<Bytes>,
    current: Bytes,
}

/// A queue for one channel of the gate's connection.
pub(crate) fn queue(gate: &Arc<Gate>) -> (Intake, Input) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let intake = Intake {
        gate: Arc::clone(gate),
        chunks: sender,
    };
    let input = Input {
        gate: Arc::clone(gate),
        chunks: receiver,
        current: Bytes::new(),
    };
    (intake, input)
}

impl Intake {
    /// Passes data on; drops it where the verb reads no more.
    pub(crate) fn push(&self, data: &[u8]) {
        let length = data.len();
        self.gate.change(|count| count.held += length);
        if self.chunks.send(Bytes::copy_from_slice(data)).is_err() {
            self.gate
                .change(|count| count.held = count.held.saturating_sub(length));
        }
    }
}

impl Input {
    fn used(&self, length: usize) {
        self.gate
            .change(|count| count.held = count.held.saturating_sub(length));
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            match self.chunks.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(chunk)) => self.current = chunk,
            }
        }
        let length = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current.split_to(length));
        self.used(length);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.chunks.close();
        let mut left = self.current.remaining();
        while let Ok(chunk) = self.chunks.try_recv() {
            left += chunk.len();
        }
        self.used(left);
    }
}

/// A connection's stream that obeys a gate.
pub(crate) struct Gated<S> {
    stream: S,
    gate: Arc<Gate>,
    timer: Pin<Box<Sleep>>,
    /// The same for the writer: while a client takes nothing, russh does not read.
    writing: Pin<Box<Sleep>>,
}

impl<S> Gated<S> {
    /// A stranger's stream: it has the time to show a key.
    pub(crate) fn new(stream: S, gate: Arc<Gate>) -> Self {
        gate.stay(Some(LOGIN_TIME));
        Self {
            stream,
            gate,
            timer: Box::pin(tokio::time::sleep(LOGIN_TIME)),
            writing: Box::pin(tokio::time::sleep(LOGIN_TIME)),
        }
    }

    /// Whether the time of a stream that is written to is over.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(end) = self.gate.lock().end else {
            return false;
        };
        if self.writing.deadline() != end {
            self.writing.as_mut().reset(end);
        }
        self.writing.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let mut count = this.gate.lock();
            if count.closed {
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = count.end {
                if this.timer.deadline() != end {
                    this.timer.as_mut().reset(end);
                }
                if this.timer.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            // Always left there: staying, closing and using input all have to wake a waiting reader.
            count.reader = Some(context.waker().clone());
            if count.held > INPUT_HELD {
                return Poll::Pending;
            }
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_full_queue_holds_the_stream_until_input_is_used() {
        let gate = Arc::new(Gate::default());
        let (mut client, server) = tokio::io::duplex(64);
        let mut stream = Gated::new(server, Arc::clone(&gate));
        let (intake, mut input) = queue(&gate);
        client.write_all(b"x").await.unwrap();
        intake.push(&vec![7; INPUT_HELD + 1]);
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = stream.read_exact(&mut byte) => panic!("it was read"),
            () = tokio::task::yield_now() => {}
        }
        let mut two = [0; 2];
        input.read_exact(&mut two).await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x");
    }

    #[tokio::test]
    async fn input_nobody_wants_holds_nothing() {
        let gate = Arc::new(Gate::default());
        let (intake, input) = queue(&gate);
        intake.push(&[1; 10]);
        drop(input);
        intake.push(&[2; 20]);
        assert_eq!(gate.lock().held, 0);
    }

    #[tokio::test]
    async fn a_stay_that_is_over_ends_a_writer_whose_client_takes_nothing() {
        let gate = Arc::new(Gate::default());
        let (_client, server) = tokio::io::duplex(64);
        let mut stream = Gated::new(server, Arc::clone(&gate));
        gate.stay(Some(Duration::from_millis(20)));
        let ended = stream.write_all(&[7; 1024]);
        let ended = tokio::time::timeout(LOGIN_TIME / 2, ended).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_stay_that_is_over_ends_a_waiting_reader() {
        let gate = Arc::new(Gate::default());
        let (_client, server) = tokio::io::duplex(64);
        let mut stream = Gated::new(server, Arc::clone(&gate));
        let mut byte = [0];
        let over = async { gate.stay(Some(Duration::ZERO)) };
        let ended = async { tokio::join!(stream.read(&mut byte), over).0 };
        // By its own end, not by that of a login.
        let ended = tokio::time::timeout(LOGIN_TIME / 2, ended).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_closed_gate_ends_a_waiting_reader() {
        let gate = Arc::new(Gate::default());
        let (_client, server) = tokio::io::duplex(64);
        let mut stream = Gated::new(server, Arc::clone(&gate));
        let mut byte = [0];
        let (read, ()) = tokio::join!(stream.read(&mut byte), async { gate.close() });
        assert_eq!(read.unwrap(), 0);
    }
}
