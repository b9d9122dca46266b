//! One connection's bookkeeping: what was sent, what is confirmed, which answer belongs to which request.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use rumqttc::{AsyncClient, ConnectionError, Event, Incoming, Outgoing, QoS, SubscribeReasonCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::{Request, reason_of};
use crate::dynsec::{Answer, Answers, Batch, CONTROL, Correlated, RESPONSE};
use crate::error::BrokerError;
use crate::event::Delivery;
use crate::outbox::{self, Outbox};
use crate::state::{ConnectionState, DisconnectReason};

/// Messages on their way without a PUBACK: mosquitto takes 20 by default, and rumqttc's own window is 100.
pub(crate) const WINDOW: usize = 16;

type Reply = oneshot::Sender<Result<Vec<Answer>, BrokerError>>;

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Every handle is dropped and everything is confirmed.
    Finished,
    /// To be tried again.
    Lost(DisconnectReason),
}

/// What a PUBACK will be for.
#[derive(Debug)]
enum Sent {
    Event(outbox::Event),
    Commands,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    client: AsyncClient,
    client_id: &'a str,
    outbox: &'a Arc<Outbox>,
    state: &'a watch::Sender<ConnectionState>,
    /// The broker answers on [`RESPONSE`].
    ready: bool,
    /// Given to rumqttc, which numbers them in the same order.
    unnumbered: VecDeque<Sent>,
    /// By packet id, until the PUBACK.
    unconfirmed: HashMap<u16, Sent>,
    /// By the number in `correlationData`, until the answer.
    unanswered: HashMap<String, Reply>,
    batches: u64,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        client: AsyncClient,
        client_id: &'a str,
        outbox: &'a Arc<Outbox>,
        state: &'a watch::Sender<ConnectionState>,
    ) -> Self {
        Self {
            client,
            client_id,
            outbox,
            state,
            ready: false,
            unnumbered: VecDeque::new(),
            unconfirmed: HashMap::new(),
            unanswered: HashMap::new(),
            batches: 0,
        }
    }

    /// Serves until the connection ends, or until nobody wants anything any more.
    pub(crate) async fn serve(
        &mut self,
        packets: &mut mpsc::Receiver<Result<Event, ConnectionError>>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> End {
        let outbox = Arc::clone(self.outbox);
        let mut closing = false;
        loop {
            while self.has_room()
                && let Some(event) = outbox.take()
            {
                if let Err(reason) = self.send_event(event) {
                    return End::Lost(reason);
                }
            }
            if closing && self.ready && self.is_idle() {
                let _ = self.client.try_disconnect();
                closing = false;
                self.ready = false;
            }
            let step = tokio::select! {
                packet = packets.recv() => match packet {
                    Some(Ok(Event::Outgoing(Outgoing::Disconnect))) => return End::Finished,
                    Some(Ok(event)) => self.on_event(event),
                    Some(Err(error)) => Err(reason_of(&error)),
                    None => Err(DisconnectReason::Failed("its poller ended".to_owned())),
                },
                request = requests.recv(), if self.has_room() && !closing => {
                    closing = request.is_none();
                    request.map_or(Ok(()), |request| self.send_request(request))
                }
                () = outbox.offered.notified(), if self.has_room() => Ok(()),
            };
            if let Err(reason) = step {
                return End::Lost(reason);
            }
        }
    }

    /// After the end: events go back to the outbox, requests learn that their answer is lost.
    pub(crate) fn abandon(&mut self, reason: &DisconnectReason) {
        let sent = self
            .unnumbered
            .drain(..)
            .chain(self.unconfirmed.drain().map(|(_, sent)| sent));
        for sent in sent {
            if let Sent::Event(event) = sent {
                self.outbox.give_back(event);
            }
        }
        for (_, reply) in self.unanswered.drain() {
            let _ = reply.send(Err(BrokerError::Interrupted {
                reason: reason.clone(),
            }));
        }
    }

    fn has_room(&self) -> bool {
        self.ready && self.unnumbered.len() + self.unconfirmed.len() < WINDOW
    }

    fn is_idle(&self) -> bool {
        self.unnumbered.is_empty() && self.unconfirmed.is_empty() && self.outbox.is_empty()
    }

    fn on_event(&mut self, event: Event) -> Result<(), DisconnectReason> {
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => self
                .client
                .try_subscribe(RESPONSE, QoS::AtLeastOnce)
                .map_err(|error| DisconnectReason::Failed(error.to_string())),
            Event::Incoming(Incoming::SubAck(ack)) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(DisconnectReason::NoControl);
                }
                self.ready = true;
                self.state.send_replace(ConnectionState::Connected {
                    since: SystemTime::now(),
                });
                Ok(())
            }
            Event::Outgoing(Outgoing::Publish(id)) => {
                if let Some(sent) = self.unnumbered.pop_front() {
                    self.unconfirmed.insert(id, sent);
                }
                Ok(())
            }
            // rumqttc waits for an old packet id: the broker confirms out of order, start over.
            Event::Outgoing(Outgoing::AwaitAck(id)) => Err(DisconnectReason::Failed(format!(
                "packet {id} was never confirmed"
            ))),
            Event::Incoming(Incoming::PubAck(ack)) => {
                if let Some(Sent::Event(event)) = self.unconfirmed.remove(&ack.pkid) {
                    event.resolve(Delivery::Confirmed);
                }
                Ok(())
            }
            Event::Incoming(Incoming::Publish(publish)) if publish.topic == RESPONSE => {
                self.on_answers(&publish.payload);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Every administrator's answers come here; those of others carry another correlation.
    fn on_answers(&mut self, payload: &[u8]) {
        let answers = match serde_json::from_slice::<Answers>(payload) {
            Ok(answers) => answers.responses,
            Err(error) => {
                tracing::warn!("an answer of the broker is no JSON of its plugin: {error}");
                return;
            }
        };
        let correlation = answers
            .first()
            .and_then(|answer| answer.correlation_data.as_deref());
        if let Some(reply) = correlation.and_then(|word| self.unanswered.remove(word)) {
            let _ = reply.send(Ok(answers));
        }
    }

    fn send_request(&mut self, request: Request) -> Result<(), DisconnectReason> {
        // Whoever gave up waiting left its entry here.
        self.unanswered.retain(|_, reply| !reply.is_closed());
        self.batches += 1;
        let correlation = format!("{}/{}", self.client_id, self.batches);
        let commands = request
            .commands
            .iter()
            .map(|command| Correlated {
                command,
                correlation: &correlation,
            })
            .collect();
        let payload = serde_json::to_vec(&Batch { commands })
            .map_err(|error| DisconnectReason::Failed(error.to_string()))?;
        self.unanswered.insert(correlation, request.reply);
        self.unnumbered.push_back(Sent::Commands);
        self.client
            .try_publish(CONTROL, QoS::AtLeastOnce, false, payload)
            .map_err(|error| DisconnectReason::Failed(error.to_string()))
    }

    fn send_event(&mut self, event: outbox::Event) -> Result<(), DisconnectReason> {
        let (topic, payload) = (event.topic.as_str().to_owned(), event.payload.clone());
        let retained = event.retained;
        self.unnumbered.push_back(Sent::Event(event));
        self.client
            .try_publish(topic, QoS::AtLeastOnce, retained, payload)
            .map_err(|error| DisconnectReason::Failed(error.to_string()))
    }
}
