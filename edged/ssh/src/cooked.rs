//! Output for a client whose terminal is raw: somebody has to return the carriage.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

/// Bytes turned at once; a screen or two.
const TURNED: usize = 4 << 10;

/// Writes `\r\n` for `\n` where the client has a terminal, and everything as it is where it has none.
pub(crate) struct Cooked<W> {
    inner: W,
    terminal: bool,
    pending: BytesMut,
}

impl<W: AsyncWrite + Unpin> Cooked<W> {
    pub(crate) fn new(inner: W, terminal: bool) -> Self {
        Self {
            inner,
            terminal,
            pending: BytesMut::new(),
        }
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.pending))?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Cooked<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.terminal {
            return Pin::new(&mut this.inner).poll_write(context, bytes);
        }
        ready!(this.poll_pending(context))?;
        for byte in bytes.iter().take(TURNED) {
            if *byte == b'\n' {
                this.pending.extend_from_slice(b"\r");
            }
            this.pending.extend_from_slice(&[*byte]);
        }
        // What does not go out now goes out with the next write or flush.
        if let Poll::Ready(Err(error)) = this.poll_pending(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len().min(TURNED)))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}
