//! One subscriber's lane: its queue, and the task that empties it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use edged_model::InstanceId;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::connect::{Io, Outbound};
use crate::post::{Outcome, Poster};
use crate::queue::{Item, Queue};
use crate::{Callback, Subscription, SubscriptionId, websocket};

pub(crate) struct Lane {
    pub(crate) id: SubscriptionId,
    pub(crate) websocket: bool,
    owner: Option<InstanceId>,
    callback: Option<Callback>,
    pub(crate) outbound: Arc<Outbound>,
    state: Mutex<State>,
    /// Wakes the task. There is one task at most, so one permit is enough.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    queue: Queue,
    phase: Phase,
    running: bool,
    attached: Option<Box<dyn Io>>,
    /// Lost since the queue was last empty: said once at the first and once at the end.
    lost: u64,
    /// Its place among the lanes that send their last.
    ending: Option<OwnedSemaphorePermit>,
}

#[derive(Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Sends what it has, then ends.
    Last,
    Closed,
}

/// What the task does next.
pub(crate) enum Turn {
    /// Speaks to the WebSocket that was just attached.
    Attached(Box<dyn Io>),
    Send(Item),
    Wait,
    End,
}

impl Lane {
    pub(crate) fn new(subscription: &Subscription, outbound: Arc<Outbound>) -> Arc<Self> {
        Arc::new(Self {
            id: subscription.id.clone(),
            websocket: subscription.websocket,
            owner: subscription.reach().cloned(),
            callback: subscription.callback.clone(),
            outbound,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Queues a notification.
    pub(crate) fn push(self: &Arc<Self>, body: Bytes) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            self.queue(&mut state, body);
            self.wake(&mut state);
        } else {
            self.outbound.counters.refused();
        }
    }

    /// Speaks to this WebSocket from now on; one that was attached before is closed.
    pub(crate) fn attach(self: &Arc<Self>, stream: Box<dyn Io>) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.attached = Some(stream);
            self.wake(&mut state);
        }
    }

    /// Sends what it has and this last notification, then ends.
    pub(crate) fn finish(self: &Arc<Self>, body: Bytes) {
        let mut state = self.state();
        self.queue(&mut state, body);
        state.ending = self.outbound.endings.clone().try_acquire_owned().ok();
        state.phase = Phase::Last;
        if state.ending.is_none() {
            state.phase = Phase::Closed;
        }
        self.wake(&mut state);
        if !state.running || state.ending.is_none() {
            // Nobody to send it to, or too many that end at the same time.
            self.clear(&mut state);
        }
    }

    /// Ends at once; what waits is lost.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.phase = Phase::Closed;
        state.attached = None;
        self.clear(&mut state);
        self.changed.notify_one();
    }

    /// Of the task: what to do next. After [`Turn::End`] it is no longer the lane's task.
    pub(crate) fn turn(&self) -> Turn {
        let mut state = self.state();
        let old = state.queue.age_out(self.outbound.limits.age);
        self.lose(&mut state, old, "it was too old");
        if state.phase == Phase::Closed {
            state.running = false;
            return Turn::End;
        }
        if let Some(stream) = state.attached.take() {
            return Turn::Attached(stream);
        }
        if let Some(item) = state.queue.start() {
            return Turn::Send(item);
        }
        if state.phase == Phase::Last {
            state.running = false;
            return Turn::End;
        }
        Turn::Wait
    }

    /// Of the task: a notification is done with.
    pub(crate) fn done(&self, item: &Item, outcome: Outcome) {
        let mut state = self.state();
        if !state.queue.finish(item.sequence) {
            return;
        }
        match outcome {
            Outcome::Sent => self.outbound.counters.sent(),
            Outcome::Dropped(reason) => self.lose(&mut state, 1, reason),
        }
        if state.queue.is_empty() && state.lost > 0 {
            tracing::info!(subscription = %self.id, lost = state.lost, "the queue of notifications is empty again");
            state.lost = 0;
        }
    }

    /// Of the task: a notification was not sent yet and stays the oldest.
    pub(crate) fn put_back(&self) {
        self.state().queue.put_back();
    }

    /// Of the task: whether it may end; afterwards the next notification starts another.
    fn rest(&self) -> bool {
        let mut state = self.state();
        let rests = state.attached.is_none() && (state.queue.is_empty() || self.callback.is_none());
        if rests {
            state.running = false;
            if state.phase != Phase::Open {
                self.clear(&mut state);
            }
        }
        rests
    }

    /// Until something matters more than the notification being sent.
    async fn interrupted(&self) {
        loop {
            {
                let state = self.state();
                if state.attached.is_some() || state.phase == Phase::Closed {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    fn queue(&self, state: &mut State, body: Bytes) {
        self.outbound.counters.queued();
        let lost = state.queue.push(body, Instant::now());
        self.lose(state, lost, "its queue is full");
    }

    fn wake(self: &Arc<Self>, state: &mut State) {
        if state.running {
            self.changed.notify_one();
        } else if self.callback.is_some() || state.attached.is_some() {
            state.running = true;
            tokio::spawn(run(self.clone()));
        }
    }

    fn clear(&self, state: &mut State) {
        let lost = state.queue.clear();
        self.outbound.counters.dropped(lost);
    }

    fn lose(&self, state: &mut State, count: u64, reason: &str) {
        if count == 0 {
            return;
        }
        self.outbound.counters.dropped(count);
        if state.lost == 0 {
            tracing::warn!(subscription = %self.id, reason, "a notification was given up");
        }
        state.lost += count;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task: to the WebSocket while one is attached, otherwise to the callback.
async fn run(lane: Arc<Lane>) {
    let mut poster = lane
        .callback
        .as_ref()
        .map(|callback| Poster::new(&lane.outbound, lane.owner.as_ref(), callback));
    loop {
        match (lane.turn(), &mut poster) {
            (Turn::End, _) => return,
            (Turn::Attached(stream), poster) => {
                if let Some(poster) = poster {
                    poster.hang_up();
                }
                let mut next = Some(stream);
                while let Some(stream) = next {
                    next = websocket::serve(&lane, stream).await;
                }
            }
            (Turn::Send(item), Some(poster)) => tokio::select! {
                biased;
                () = lane.interrupted() => lane.put_back(),
                outcome = poster.post(&item) => lane.done(&item, outcome),
            },
            (Turn::Wait, Some(poster)) => tokio::select! {
                biased;
                () = lane.changed.notified() => {}
                () = poster.idle() => if lane.rest() { return },
            },
            // Without a callback what waits waits for the next WebSocket.
            (Turn::Send(_) | Turn::Wait, None) => {
                lane.put_back();
                if lane.rest() {
                    return;
                }
            }
        }
    }
}
