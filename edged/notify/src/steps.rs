//! Handshakes, step by step on threads where they may wait: one may sign with a key in a TPM.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::{Notify, Semaphore};

/// Steps of handshakes, a few at once: a TPM does one thing after the other.
#[derive(Debug)]
pub struct Steps(Semaphore);

impl Steps {
    /// At most so many at once.
    pub fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once))
    }

    /// Carries a handshake to its end. Whichever step signs (after a second hello it is a later one), it happens on a
    /// thread of its own, which is given back while the other side is waited for.
    ///
    /// # Errors
    /// A step has panicked.
    pub async fn take<F>(&self, mut shaking: F) -> io::Result<F::Output>
    where
        F: Future + Unpin + Send + 'static,
        F::Output: Send + 'static,
    {
        let ready = Arc::new(Ready::default());
        let waker = Waker::from(Arc::clone(&ready));
        loop {
            let waker = waker.clone();
            let polled = {
                // The semaphore is never closed.
                let _place = self.0.acquire().await;
                let step = tokio::task::spawn_blocking(move || {
                    let polled = Pin::new(&mut shaking).poll(&mut Context::from_waker(&waker));
                    (shaking, polled)
                });
                step.await
            };
            match polled {
                Ok((_, Poll::Ready(shaken))) => return Ok(shaken),
                Ok((again, Poll::Pending)) => shaking = again,
                Err(error) => return Err(io::Error::other(error)),
            }
            ready.0.notified().await;
        }
    }
}

/// Woken while nobody waits, it remembers: the other side may answer before the step has ended that asked it.
#[derive(Default)]
struct Ready(Notify);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
