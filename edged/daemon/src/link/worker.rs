//! The line to edged-worker, and the routing of what it tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edged_model::{ContainerState, Digest, InstanceId};
use edged_protocol::client::Client;
use edged_protocol::worker::{CgroupLayout, Command, Event, Reply};
use tokio::sync::{Notify, mpsc};

use super::{Failure, Link, RECONNECT};
use crate::reconcile::Message;

/// Events of one exec that its reader has not taken: the worker's window, the last pieces of its pipes, and its end.
const EXEC_EVENTS: usize = 128;

/// What the worker saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which cgroup layout was found.
    pub cgroups: CgroupLayout,
    /// Whole layers.
    pub layers: BTreeSet<Digest>,
    /// Containers.
    pub containers: BTreeMap<InstanceId, ContainerState>,
}

/// The line to edged-worker.
#[derive(Debug, Clone)]
pub struct Worker {
    link: Link<Command, Reply>,
    routes: Arc<Mutex<Routes>>,
}

#[derive(Debug, Default)]
struct Routes {
    execs: HashMap<u64, ExecRoute>,
    logs: HashMap<InstanceId, Arc<Notify>>,
}

/// An exec's events may come before the answer that names it: the receiver waits here for whoever asked.
#[derive(Debug)]
struct ExecRoute {
    sender: mpsc::Sender<Event>,
    waiting: Option<mpsc::Receiver<Event>>,
}

impl ExecRoute {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(EXEC_EVENTS);
        Self {
            sender,
            waiting: Some(receiver),
        }
    }
}

impl Worker {
    /// A line that is not up yet; [`keep`] brings it up.
    pub fn at(path: PathBuf) -> Self {
        Self {
            link: Link::new("worker", path),
            routes: Arc::default(),
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and hands a refusal on as a failure.
    pub async fn ask(&self, command: Command) -> Result<Reply, Failure> {
        match self.link.ask(command).await? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }

    /// Asks for something to be done.
    pub async fn order(&self, command: Command) -> Result<(), Failure> {
        match self.ask(command).await? {
            Reply::Done {} => Ok(()),
            _ => Err(Failure::Unexpected("worker")),
        }
    }

    /// What is there.
    pub async fn observe(&self) -> Result<Seen, Failure> {
        match self.ask(Command::Observe {}).await? {
            Reply::Observed {
                cgroups,
                layers,
                containers,
            } => Ok(Seen {
                cgroups,
                layers: layers.into_iter().collect(),
                containers,
            }),
            _ => Err(Failure::Unexpected("worker")),
        }
    }

    /// Runs a command inside; the receiver yields its output and, last, its end.
    pub async fn exec(
        &self,
        instance: InstanceId,
        command: Vec<String>,
        input: bool,
    ) -> Result<(u64, mpsc::Receiver<Event>), Failure> {
        match self
            .ask(Command::Exec {
                instance,
                command,
                input,
            })
            .await?
        {
            Reply::ExecStarted { exec } => {
                let waiting = self
                    .routes()
                    .execs
                    .entry(exec)
                    .or_insert_with(ExecRoute::new)
                    .waiting
                    .take();
                waiting
                    .map(|events| (exec, events))
                    .ok_or(Failure::Unexpected("worker"))
            }
            _ => Err(Failure::Unexpected("worker")),
        }
    }

    /// Wakes whenever the instance may have written a line.
    pub async fn watch_log(&self, instance: &InstanceId) -> Result<Arc<Notify>, Failure> {
        let notify = Arc::clone(self.routes().logs.entry(instance.clone()).or_default());
        self.order(Command::WatchLog {
            instance: instance.clone(),
            on: true,
        })
        .await?;
        Ok(notify)
    }

    fn route(&self, event: Event) -> Option<u64> {
        match event {
            Event::Logged { instance, .. } => {
                if let Some(notify) = self.routes().logs.get(&instance) {
                    notify.notify_waiters();
                }
                None
            }
            Event::ExecOutput { exec, .. } => {
                let mut routes = self.routes();
                let route = routes.execs.entry(exec).or_insert_with(ExecRoute::new);
                let lost = route.sender.try_send(event).is_err();
                if lost {
                    routes.execs.remove(&exec);
                }
                lost.then_some(exec)
            }
            Event::ExecEnded { exec, .. } => {
                let mut routes = self.routes();
                let route = routes.execs.entry(exec).or_insert_with(ExecRoute::new);
                // A reader that has gone misses nothing.
                let _ = route.sender.try_send(event);
                if route.waiting.is_none() {
                    routes.execs.remove(&exec);
                }
                None
            }
            Event::Exited { .. } => None,
        }
    }

    /// Log readers and execs of a lost connection learn of it: readers ask again, execs end.
    fn forget_routes(&self) {
        let mut routes = self.routes();
        routes.execs.clear();
        for notify in routes.logs.values() {
            notify.notify_waiters();
        }
        routes.logs.clear();
    }
}

/// Keeps the line up; tells the reconciler what is seen after each connection, each exit, and when it is lost.
pub async fn keep(worker: Worker, reconciler: mpsc::Sender<Message>) {
    loop {
        if let Ok((client, mut events)) = Client::connect::<Event>(&worker.link.path).await {
            worker.link.set(Some(client));
            if let Ok(seen) = worker.observe().await
                && reconciler.send(Message::WorkerUp(seen)).await.is_ok()
            {
                while let Some(event) = events.recv().await {
                    if let Event::Exited { instance, code } = event {
                        if reconciler
                            .send(Message::Exited { instance, code })
                            .await
                            .is_err()
                        {
                            return;
                        }
                    } else if let Some(lost) = worker.route(event) {
                        // Nobody reads it any more, or too slowly.
                        let kill = worker.clone();
                        tokio::spawn(
                            async move { kill.order(Command::ExecKill { exec: lost }).await },
                        );
                    }
                }
            }
            worker.link.set(None);
            worker.forget_routes();
            if reconciler.send(Message::WorkerDown).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}
