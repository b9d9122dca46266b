//! The handle: requests with answers, events with confirmations, and the state of the connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edged_protocol::Secret;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::{BrokerTask, Request};
use crate::dynsec::{Answer, Command};
use crate::error::{BrokerError, EventError};
use crate::event::{Confirmation, EventTopic};
use crate::outbox::Outbox;
use crate::state::{ConnectionState, DisconnectReason};
use crate::username::Username;

/// Requests that wait for the task: one reconcile pass over a full box sends them one after the other.
const REQUESTS_MAX: usize = 32;
/// How long an answer is awaited, waiting in the queue included: the broker answers within a millisecond.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the broker is, and as whom edged speaks to it.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Name or address.
    pub host: String,
    /// TCP port of a listener without TLS; meant for loopback.
    pub port: u16,
    /// An account that may use `$CONTROL/dynamic-security/#`.
    pub username: Username,
    /// Its password.
    pub password: Secret,
}

/// A handle on the connection; cheap to clone. The task ends after the last one is dropped.
#[derive(Debug, Clone)]
pub struct BrokerClient {
    requests: mpsc::Sender<Request>,
    outbox: Arc<Outbox>,
    state: watch::Receiver<ConnectionState>,
    username: Username,
}

impl BrokerClient {
    /// Makes a handle and the task that keeps it connected. Nothing happens until [`BrokerTask::run`] is polled.
    pub fn connect(config: BrokerConfig) -> (Self, BrokerTask) {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let outbox = Arc::new(Outbox::default());
        let start = ConnectionState::Disconnected {
            since: SystemTime::now(),
            reason: DisconnectReason::Starting,
        };
        let (report, state) = watch::channel(start);
        let username = config.username.clone();
        let client_id = format!("edged-{}", random_word());
        let task = BrokerTask::new(config, client_id, waiting, Arc::clone(&outbox), report);
        (
            Self {
                requests,
                outbox,
                state,
                username,
            },
            task,
        )
    }

    /// The state of the connection, now and at every change.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Waits until requests are answered; fails only if the task ended.
    pub async fn connected(&self) -> Result<(), BrokerError> {
        let mut state = self.state.clone();
        let waited = state.wait_for(ConnectionState::is_connected).await;
        waited.map(|_| ()).map_err(|_| ended())
    }

    /// Queues a state as JSON at quality of service 1. While the broker is away the newest state of a topic waits; it
    /// is sent on reconnection. Await the [`Confirmation`] to know that the broker has it.
    pub fn publish_event(
        &self,
        topic: &EventTopic,
        state: &impl Serialize,
        retained: bool,
    ) -> Result<Confirmation, EventError> {
        let payload = serde_json::to_vec(state).map_err(|source| EventError::Json {
            topic: topic.clone(),
            source,
        })?;
        self.outbox
            .offer(topic.clone(), payload, retained)
            .map(Confirmation)
    }

    /// Queues the removal of the retained state of a topic.
    pub fn clear(&self, topic: &EventTopic) -> Result<Confirmation, EventError> {
        self.outbox
            .offer(topic.clone(), Vec::new(), true)
            .map(Confirmation)
    }

    /// As whom this client is connected.
    pub(crate) fn username(&self) -> &Username {
        &self.username
    }

    /// Has the plugin execute commands in order, and gives one answer for each; the first refusal is the error.
    pub(crate) async fn request(&self, commands: Vec<Command>) -> Result<Vec<Answer>, BrokerError> {
        let (reply, answers) = oneshot::channel();
        let exchange = async {
            self.requests
                .send(Request { commands, reply })
                .await
                .map_err(|_| ended())?;
            answers.await.map_err(|_| ended())?
        };
        let answers = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| BrokerError::Timeout {
                after: ANSWER_TIMEOUT,
            })??;
        for answer in &answers {
            if let Some(message) = &answer.error {
                let command = answer.command.clone();
                return Err(BrokerError::Refused {
                    command,
                    message: message.clone(),
                });
            }
        }
        Ok(answers)
    }
}

fn ended() -> BrokerError {
    BrokerError::Disconnected {
        reason: DisconnectReason::Ended,
    }
}

/// Nobody may guess the client id: a connection with the same one would throw edged out.
fn random_word() -> String {
    let mut bytes = [0; 8];
    let _ = SystemRandom::new().fill(&mut bytes);
    format!("{:016x}", u64::from_ne_bytes(bytes))
}
