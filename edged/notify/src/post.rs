//! Sending to a callback: one POST at a time, retried until it is taken, final, or no news any more.

use std::sync::Arc;

use edged_model::InstanceId;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Callback;
use crate::backoff;
use crate::connect::{ConnectError, Connection, Outbound};
use crate::queue::Item;

/// The body of an answer, which nobody needs: what is more costs the connection.
const ANSWER_BODY_MAX: usize = 16 * 1024;

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver took it.
    Sent,
    /// It was given up; the text says why.
    Dropped(&'static str),
}

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the connection ended before the answer: {0}")]
    Broken(#[from] hyper::Error),
    #[error("no answer in time")]
    Slow,
    #[error("the receiver answered {0}")]
    Status(StatusCode),
}

/// Sends to one callback, on one connection that is kept while it is of use.
pub(crate) struct Poster<'a> {
    outbound: &'a Arc<Outbound>,
    owner: Option<&'a InstanceId>,
    callback: &'a Callback,
    connection: Option<Connection>,
    /// Failures in a row, over all notifications: the next one does not hurry a receiver that is down.
    failures: u32,
}

impl<'a> Poster<'a> {
    pub(crate) fn new(
        outbound: &'a Arc<Outbound>,
        owner: Option<&'a InstanceId>,
        callback: &'a Callback,
    ) -> Self {
        Self {
            outbound,
            owner,
            callback,
            connection: None,
            failures: 0,
        }
    }

    /// Sends one notification. May be dropped at any point; the connection is closed then if a request was on it.
    pub(crate) async fn post(&mut self, item: &Item) -> Outcome {
        let limits = &self.outbound.limits;
        let deadline = item.since + limits.age;
        for _ in 0..limits.attempts {
            let wait = backoff::wait(self.failures, limits.retry_first, limits.retry_ceiling);
            if !wait.is_zero() {
                if Instant::now() + wait > deadline {
                    return Outcome::Dropped("it was too old");
                }
                tokio::time::sleep(wait).await;
            }
            let attempt = timeout_at(deadline, self.attempt(item)).await;
            let failure = match attempt {
                Err(_) => return Outcome::Dropped("it was too old"),
                Ok(Ok(())) => {
                    self.failures = 0;
                    return Outcome::Sent;
                }
                Ok(Err(failure)) => failure,
            };
            self.outbound.counters.failed();
            tracing::debug!(callback = %self.callback, %failure, "a notification was not taken");
            if let AttemptError::Status(StatusCode::NOT_FOUND | StatusCode::GONE) = failure {
                self.failures = 0;
                return Outcome::Dropped("the receiver knows of no such callback");
            }
            self.failures = self.failures.saturating_add(1);
        }
        Outcome::Dropped("the receiver did not take it")
    }

    /// Until the connection has no more use: closed by the receiver, long idle, or its place wanted by another.
    pub(crate) async fn idle(&mut self) {
        if let Some(connection) = &mut self.connection {
            tokio::select! {
                () = tokio::time::sleep(self.outbound.limits.idle) => {}
                () = connection.place.wanted() => {}
                _ = &mut connection.driver => {}
            }
        }
        self.hang_up();
    }

    /// Closes the connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    async fn attempt(&mut self, item: &Item) -> Result<(), AttemptError> {
        if let Some(kept) = self.connection.take()
            && self.outbound.reach.permits(self.owner, kept.to)
        {
            match self.exchange(kept, item).await {
                // The receiver closed it meanwhile, which is its right: a new connection tells more.
                Err(AttemptError::Broken(_)) => {}
                other => return other,
            }
        }
        let fresh = self.outbound.connect(self.owner, self.callback).await?;
        self.exchange(fresh, item).await
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        item: &Item,
    ) -> Result<(), AttemptError> {
        let request = Request::post(self.callback.path())
            .header(HOST, self.callback.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, "edged")
            .body(Full::new(item.body.clone()))?;
        let exchange = async {
            connection.sender.ready().await?;
            connection.sender.send_request(request).await
        };
        let answer = timeout(self.outbound.limits.answer, exchange)
            .await
            .map_err(|_| AttemptError::Slow)??;
        let status = answer.status();
        let rest = timeout(self.outbound.limits.rest, read_rest(answer)).await;
        if rest.unwrap_or(false) {
            self.connection = Some(connection);
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(AttemptError::Status(status))
        }
    }
}

/// Reads the body away; whether it ended within its bound, so that the connection can carry another request.
async fn read_rest(answer: Response<Incoming>) -> bool {
    let mut body = answer.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > ANSWER_BODY_MAX {
            return false;
        }
    }
    true
}
