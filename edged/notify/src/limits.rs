//! How long things may take and how often they are tried.

use std::time::Duration;

/// Name, address and handshake together: a box next door answers in milliseconds, one across the world in a second.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// From the request to the head of the answer: a receiver has only to say that it took it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// For the rest of an answer nobody needs: after it the connection is given up, not the notification.
const REST_MAX: Duration = Duration::from_millis(500);
/// How long an idle connection is kept: longer than the pauses of a busy application, shorter than most servers keep it.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// The first wait after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait: a receiver that is back is noticed within it.
const RETRY_CEILING: Duration = Duration::from_secs(30);
/// Attempts for one notification: with the waits above they span a restart of the receiver.
const ATTEMPTS_MAX: u32 = 8;
/// The oldest notification that is still news.
const AGE_MAX: Duration = Duration::from_secs(120);
/// How often a WebSocket is pinged; one that is silent for two of them is dead.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long things may take and how often they are tried; the default is what a node uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Name, address and handshake together.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub answer: Duration,
    /// For the body of the answer.
    pub rest: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// The first wait after a failure; each next one may be twice as long.
    pub retry_first: Duration,
    /// The longest wait.
    pub retry_ceiling: Duration,
    /// Attempts for one notification.
    pub attempts: u32,
    /// The oldest notification that is still sent.
    pub age: Duration,
    /// How often a WebSocket is pinged.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: CONNECT_MAX,
            answer: ANSWER_MAX,
            rest: REST_MAX,
            idle: IDLE_MAX,
            retry_first: RETRY_FIRST,
            retry_ceiling: RETRY_CEILING,
            attempts: ATTEMPTS_MAX,
            age: AGE_MAX,
            ping: PING_EVERY,
        }
    }
}
