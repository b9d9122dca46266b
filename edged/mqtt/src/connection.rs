//! The task: one connection after the other, each with its own protocol state.
//!
//! Two futures live while connected: `pump` polls rumqttc and nothing else (its `poll` is not safe to cancel), and
//! `Session::serve` sends and matches. A small channel carries what was polled from one to the other.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::backoff::{Backoff, CAP};
use crate::client::BrokerConfig;
use crate::dynsec::{Answer, Command};
use crate::error::BrokerError;
use crate::outbox::Outbox;
use crate::session::{End, Session, WINDOW};
use crate::state::{ConnectionState, DisconnectReason};

/// Seconds for TCP and CONNECT together: less than a request waits, so that the request learns why.
const CONNECT_TIMEOUT_S: u64 = 3;
/// A broker that went without a word is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes of one packet either way: a page of roles stays below (see `account`), an event far below.
const PACKET_MAX: usize = 1024 * 1024;
/// Packets between `pump` and `serve`; serving never blocks, so a few are enough.
const PACKETS_WAITING: usize = 16;

/// Commands on their way to the plugin.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) commands: Vec<Command>,
    pub(crate) reply: oneshot::Sender<Result<Vec<Answer>, BrokerError>>,
}

/// Keeps the connection; whoever made it runs it.
#[derive(Debug)]
pub struct BrokerTask {
    config: BrokerConfig,
    client_id: String,
    requests: mpsc::Receiver<Request>,
    outbox: Arc<Outbox>,
    state: watch::Sender<ConnectionState>,
}

impl BrokerTask {
    pub(crate) fn new(
        config: BrokerConfig,
        client_id: String,
        requests: mpsc::Receiver<Request>,
        outbox: Arc<Outbox>,
        state: watch::Sender<ConnectionState>,
    ) -> Self {
        Self {
            config,
            client_id,
            requests,
            outbox,
            state,
        }
    }

    /// Connects, serves and connects again until every handle is dropped. Then it sends what is queued and ends; if
    /// the broker is away at that moment it ends at once.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            match self.connection().await {
                End::Finished => return,
                End::Lost(reason) => self.report_lost(reason),
            }
            if began.elapsed() > CAP {
                backoff.reset();
            }
            if !self.rest(backoff.next()).await {
                return;
            }
        }
    }

    /// One connection from CONNECT to its end.
    async fn connection(&mut self) -> End {
        let mut options = MqttOptions::new(&self.client_id, &self.config.host, self.config.port);
        options
            .set_credentials(self.config.username.as_str(), self.config.password.expose())
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(PACKET_MAX, PACKET_MAX)
            .set_clean_session(true);
        let (client, mut polled) = AsyncClient::new(options, WINDOW);
        let mut network = polled.network_options();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        polled.set_network_options(network);

        let (incoming, mut packets) = mpsc::channel(PACKETS_WAITING);
        let mut session = Session::new(client, &self.client_id, &self.outbox, &self.state);
        let end = tokio::select! {
            never = pump(polled, incoming) => match never {},
            end = session.serve(&mut packets, &mut self.requests) => end,
        };
        let reason = match &end {
            End::Lost(reason) => reason.clone(),
            End::Finished => DisconnectReason::Ended,
        };
        session.abandon(&reason);
        end
    }

    /// Remembers when the connection was lost, and why the newest attempt failed.
    fn report_lost(&self, reason: DisconnectReason) {
        self.state.send_if_modified(|state| {
            let since = match state {
                ConnectionState::Disconnected { reason: known, .. } if *known == reason => return false,
                ConnectionState::Disconnected { since, .. } => *since,
                ConnectionState::Connected { .. } => SystemTime::now(),
            };
            tracing::warn!(host = %self.config.host, port = self.config.port, "the broker is away: {reason}");
            *state = ConnectionState::Disconnected { since, reason };
            true
        });
    }

    /// Waits, telling requests why they cannot be sent; `false` if every handle is gone.
    async fn rest(&mut self, wait: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let request = tokio::select! {
                () = tokio::time::sleep_until(deadline) => return true,
                request = self.requests.recv() => request,
            };
            let Some(request) = request else { return false };
            let reason = match &*self.state.borrow() {
                ConnectionState::Disconnected { reason, .. } => reason.clone(),
                ConnectionState::Connected { .. } => DisconnectReason::Starting,
            };
            let _ = request
                .reply
                .send(Err(BrokerError::Disconnected { reason }));
        }
    }
}

/// Polls until the first error; then waits to be dropped, since `serve` decides what the error means.
async fn pump(
    mut polled: EventLoop,
    incoming: mpsc::Sender<Result<Event, ConnectionError>>,
) -> std::convert::Infallible {
    loop {
        let event = polled.poll().await;
        let failed = event.is_err();
        if incoming.send(event).await.is_err() || failed {
            return std::future::pending().await;
        }
    }
}

/// What an error of rumqttc means to us.
pub(crate) fn reason_of(error: &ConnectionError) -> DisconnectReason {
    match error {
        ConnectionError::ConnectionRefused(code) => DisconnectReason::Refused(format!("{code:?}")),
        ConnectionError::Io(error) => DisconnectReason::Failed(error.to_string()),
        ConnectionError::NetworkTimeout => {
            DisconnectReason::Failed(format!("no connection within {CONNECT_TIMEOUT_S} s"))
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            DisconnectReason::Failed("the broker closed it".to_owned())
        }
        other => DisconnectReason::Failed(other.to_string()),
    }
}
