//! The reconciler: one task that owns the desired state and drives the world towards it.
//!
//! It wakes on a message (a wish, an exit, a line that came up or went down), on the end of an action, and on the end
//! of a pause; it never polls. Each turn it observes every instance, asks [`edged_model::plan`] for the next action,
//! and starts it unless one of that instance is under way. Actions of different instances run side by side; changes of
//! the policy, which is one for the node, run one at a time.
//!
//! Invariants: the store is written before anything is promised; an instance is announced only while it is ready; an
//! action's result is believed only if nothing newer was told meanwhile.

mod message;
mod orphans;
mod perform;
mod promise;
mod retry;
#[cfg(test)]
mod tests;
mod tracked;
mod wishes;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use edged_mec::{Allocated, Application, Picture, RegisteredService, Registration};
use edged_model::{
    Action, AppInstance, AppName, ContainerState, DnsRule, Goal, InstanceId, InstanceState, plan,
};
use edged_protocol::guardian::Policy;
use edged_store::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::announce::Announcer;
use crate::fault::{self, Moment};
use crate::link::Failure;
use crate::probe;
use crate::snapshot::{InstanceStatus, Snapshot};
pub use tracked::Tracked;
use world::World;

pub use message::{Claim, Denied, Mailbox, Message, Verdict, Which, Wish};
pub use perform::Means;
use perform::{Outcome, Task};
use promise::Promise;
use retry::Retry;

/// Messages not yet read: every sender waits for its place, so this only smooths bursts.
pub const MESSAGES: usize = 256;

type Finished = (InstanceId, Action, Outcome, Result<(), Failure>);

/// The reconciler and everything it owns.
#[derive(Debug)]
pub struct Reconciler {
    means: Means,
    store: Store,
    announcer: Announcer,
    mailbox: Mailbox,
    messages: mpsc::Receiver<Message>,
    instances: BTreeMap<InstanceId, Tracked>,
    services: Vec<Arc<RegisteredService>>,
    registrations: BTreeMap<InstanceId, Arc<Registration>>,
    allocations: Vec<Arc<Allocated>>,
    /// Wishes that wait for the kernel, oldest first.
    promises: Vec<Promise>,
    /// Answers to wishes that are in force and not yet shown.
    kept: Vec<message::Reply<()>>,
    /// The policy in the kernel holds more than instances, so this task keeps it right.
    claimed: bool,
    /// The kernel has held the wanted policy since the guardian is up: what was in force before a restart is again.
    settled: bool,
    policy_retry: Retry,
    applying: JoinSet<Result<String, Failure>>,
    world: World,
    actions: JoinSet<Finished>,
    policy_busy: bool,
    snapshot: watch::Sender<Arc<Snapshot>>,
    pictures: watch::Sender<Arc<Picture>>,
}

impl Reconciler {
    /// Reads the desired state.
    pub fn new(
        means: Means,
        store: Store,
        announcer: Announcer,
        (mailbox, messages): (Mailbox, mpsc::Receiver<Message>),
        (snapshot, pictures): (watch::Sender<Arc<Snapshot>>, watch::Sender<Arc<Picture>>),
    ) -> Result<Self, edged_store::StoreError> {
        let tracked = |(instance, credentials): (AppInstance, _)| {
            (instance.id.clone(), Tracked::new(instance, credentials))
        };
        let mut instances = store.instances()?.into_iter().map(tracked).collect();
        wishes::stored_confirmations(&store, &mut instances)?;
        let registered = |it: Registration| (it.id.clone(), Arc::new(it));
        let registrations = store.records()?.into_iter().map(registered).collect();
        let allocations = store.records()?.into_iter().map(Arc::new).collect();
        let services = wishes::stored_services(&store)?;
        let mut reconciler = Self {
            means,
            store,
            announcer,
            mailbox,
            messages,
            instances,
            services,
            registrations,
            allocations,
            promises: Vec::new(),
            kept: Vec::new(),
            claimed: true,
            settled: false,
            policy_retry: Retry::default(),
            applying: JoinSet::new(),
            world: World::default(),
            actions: JoinSet::new(),
            policy_busy: false,
            snapshot,
            pictures,
        };
        // What was there before is nobody's news: it is shown before anybody looks. Names of applications that run
        // elsewhere wait for nothing.
        reconciler.publish();
        reconciler.show();
        Ok(reconciler)
    }

    /// Works until `stop`; then lets the actions under way end, so that nothing is left half told.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.turn();
            self.show();
            self.answer_kept();
            let wake = self.next_pause();
            // Cancel-safe: a message or a result that is not taken stays where it is.
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(message) = self.messages.recv() => self.take(message),
                Some(Ok(finished)) = self.actions.join_next(), if !self.actions.is_empty() => self.finish(finished),
                Some(Ok(result)) = self.applying.join_next(), if !self.applying.is_empty() => self.applied(result),
                () = pause(wake) => {}
            }
            while let Ok(message) = self.messages.try_recv() {
                self.take(message);
            }
        }
        while self.actions.join_next().await.is_some() {}
        while self.applying.join_next().await.is_some() {}
    }

    fn next_pause(&self) -> Option<Instant> {
        self.instances
            .values()
            .map(|tracked| &tracked.retry)
            .chain([&self.policy_retry])
            .filter_map(|retry| Some(retry.pending()?.0))
            .min()
    }

    /// Starts whatever is next for every instance.
    fn turn(&mut self) {
        let now = Instant::now();
        self.world.policy_wanted = self.policy().fingerprint();
        // Announcing is done at once, so an instance may take several steps in one turn, and whoever waits for it was
        // perhaps asked before: all are asked until nothing was announced or withdrawn any more.
        let mut changed = true;
        while changed {
            changed = false;
            let ids: Vec<InstanceId> = self.instances.keys().cloned().collect();
            for id in ids {
                while self.step(&id, now) {
                    changed = true;
                }
            }
        }
        self.settle();
    }

    /// One step of one instance; whether another may follow at once.
    fn step(&mut self, id: &InstanceId, now: Instant) -> bool {
        let waits_for = self.waits_for(id);
        let Some(tracked) = self.instances.get_mut(id) else {
            return false;
        };
        tracked.retry.due(now);
        if tracked.busy || !self.world.is_seen() {
            return false;
        }
        let seen = tracked.observe(&self.world, waits_for);
        probe::keep(tracked, &seen, &self.means, &self.mailbox);
        let Some(action) = plan(&tracked.instance, &seen) else {
            return false;
        };
        if tracked.retry.pending().is_some() && action != Action::Withdraw {
            return false;
        }
        match action {
            Action::Announce | Action::Withdraw => {
                fault::pass(Moment::Before, fault::name(&action));
                tracked.announced = action == Action::Announce;
                self.publish();
                fault::pass(Moment::After, fault::name(&action));
                true
            }
            Action::Forget => {
                fault::pass(Moment::Before, fault::name(&action));
                match self.store.forget(id) {
                    Ok(()) => {
                        fault::pass(Moment::After, fault::name(&action));
                        self.announcer.clear(id);
                        let gone = self
                            .services
                            .extract_if(.., |service| service.instance == *id);
                        gone.for_each(|service| self.announcer.clear_service(&service.id));
                        self.forget_claims(id);
                        self.instances.remove(id);
                        self.publish();
                    }
                    Err(error) => tracked.retry.failed(error.to_string()),
                }
                false
            }
            Action::AllowTraffic | Action::DenyTraffic if self.policy_busy => false,
            action => {
                if let Action::AllowTraffic | Action::DenyTraffic = action {
                    tracked.allowed = action == Action::AllowTraffic;
                    self.policy_busy = true;
                }
                self.start(id, action);
                false
            }
        }
    }

    fn start(&mut self, id: &InstanceId, action: Action) {
        let policy = self.policy();
        self.world.policy_wanted = policy.fingerprint();
        let Some(tracked) = self.instances.get_mut(id) else {
            return;
        };
        tracked.busy = true;
        tracked.ended_meanwhile = None;
        if action == Action::StopContainer {
            tracked.stop_probes();
        }
        tracing::debug!(app = %tracked.instance.spec.name, ?action, "action");
        let task = Task {
            action: action.clone(),
            instance: Arc::clone(&tracked.instance),
            credentials: tracked.credentials.clone(),
            policy,
            grace_ms: tracked
                .grace_ms
                .unwrap_or(tracked.instance.spec.stop.grace_ms),
        };
        let (means, id) = (self.means.clone(), id.clone());
        self.actions.spawn(async move {
            let (outcome, result) = means.perform(&task).await;
            (id, action, outcome, result)
        });
    }

    fn finish(&mut self, (id, action, outcome, result): Finished) {
        let changes_policy = matches!(action, Action::AllowTraffic | Action::DenyTraffic);
        if changes_policy {
            self.policy_busy = false;
        }
        if let Some(seen) = self.world.guardian.as_mut().filter(|_| changes_policy) {
            // After a failure the policy is not known: the next try replaces it whole.
            seen.policy = outcome.policy;
        }
        let Some(tracked) = self.instances.get_mut(&id) else {
            return;
        };
        tracked.busy = false;
        if result.is_ok() && action == Action::StartContainer {
            tracked.again = false;
        }
        if let Some(seen) = outcome.container {
            // An end that was told meanwhile is newer than everything but the container's being gone.
            let container = match (seen, tracked.ended_meanwhile.take()) {
                (ContainerState::Absent, _) | (_, None) => seen,
                (_, Some(code)) => ContainerState::Exited { code },
            };
            self.world.set_container(&id, container);
            tracked.saw(container);
        }
        if let Some(link) = outcome.link {
            self.world.set_link(tracked.instance.lease, link);
        }
        if let Some(layers) = outcome.layers {
            self.world.set_layers(layers);
        }
        if let Err(failure) = result {
            // A claim that waits is the likelier culprit, and easier undone than an application.
            let broken = changes_policy && self.break_promises(&failure);
            let Some(tracked) = self.instances.get_mut(&id) else {
                return;
            };
            if action == Action::AllowTraffic && !broken {
                // Rules that the kernel does not take must not keep everybody else's out.
                tracked.allowed = false;
            }
            tracing::warn!(app = %tracked.instance.spec.name, ?action, %failure, "an action failed");
            return tracked.retry.failed(failure.to_string());
        }
        match action {
            Action::UnpackLayer(layer) => self.world.add_layer(layer),
            Action::AttachLink => self.world.set_link(tracked.instance.lease, true),
            Action::DetachLink => self.world.set_link(tracked.instance.lease, false),
            Action::GrantAccount => self.world.set_account(&tracked.instance, true),
            Action::RevokeAccount => self.world.set_account(&tracked.instance, false),
            _ => {}
        }
    }

    /// The policy that belongs into the kernel now.
    fn policy(&self) -> Policy {
        let allowed = self.instances.values().filter(|tracked| tracked.allowed);
        let mut policy = edged_net::policy_of(
            allowed.map(|tracked| tracked.instance.as_ref()),
            &self.means.addressing,
        );
        self.fill(&mut policy);
        policy
    }

    /// The first application that an instance needs and that is not ready.
    fn waits_for(&self, id: &InstanceId) -> Option<AppName> {
        let needed = &self.instances.get(id)?.instance.spec.depends_on;
        let ready = |name: &AppName| {
            self.instances
                .values()
                .any(|other| other.announced && other.instance.spec.name == *name)
        };
        needed.iter().find(|name| !ready(name)).cloned()
    }

    /// Gives the resolver the view that follows from the announced instances.
    fn publish(&self) {
        if let Err(error) = self.try_publish() {
            tracing::error!(%error, "the zone was not changed");
        }
    }

    fn try_publish(&self) -> Result<(), String> {
        let announced = self.instances.values().filter(|tracked| tracked.announced);
        let ready: Vec<&AppInstance> = announced.map(|tracked| tracked.instance.as_ref()).collect();
        let wanted = self
            .instances
            .values()
            .filter(|tracked| tracked.instance.goal == Goal::Running);
        let forward: Vec<&AppInstance> = wanted
            .map(|tracked| tracked.instance.as_ref())
            .filter(|app| app.spec.network.egress)
            .collect();
        let elsewhere = self
            .registrations
            .values()
            .filter(|it| it.running && !self.instances.contains_key(&it.id))
            .map(|registration| &registration.rules);
        let rules: Vec<&DnsRule> = ready
            .iter()
            .map(|instance| &instance.rules)
            .chain(elsewhere)
            .flat_map(|rules| rules.dns.iter().filter(|rule| rule.active))
            .collect();
        self.announcer
            .publish(&ready, &self.services, &rules, &forward)
    }

    /// Shows readers and the bus what is so now.
    fn show(&mut self) {
        let waits: BTreeMap<InstanceId, Option<AppName>> = self
            .instances
            .keys()
            .map(|id| (id.clone(), self.waits_for(id)))
            .collect();
        let mut instances = BTreeMap::new();
        for (id, tracked) in &mut self.instances {
            let seen = tracked.observe(&self.world, waits.get(id).cloned().flatten());
            // While worker or guardian are away nothing is seen, and what was so last is the best that is known.
            let state = match &tracked.told {
                Some(told) if !self.world.is_seen() => told.clone(),
                _ => tracked.state(&seen),
            };
            if !tracked
                .told
                .as_ref()
                .is_some_and(|told| same_kind(told, &state))
            {
                tracing::info!(app = %tracked.instance.spec.name, %state, "state");
                self.announcer.tell(&tracked.instance, &state);
                tracked.told = Some(state.clone());
            }
            let status = InstanceStatus {
                instance: Arc::clone(&tracked.instance),
                credentials: tracked.credentials.clone(),
                state,
                container: seen.container,
                restarts: tracked.restarts,
                last_exit: tracked.last_exit,
            };
            instances.insert(tracked.instance.spec.name.clone(), status);
        }
        let broker = if self.world.broker.is_some() {
            Ok(())
        } else {
            Err(self.world.broker_away.clone())
        };
        self.paint(&instances);
        self.snapshot.send_replace(Arc::new(Snapshot {
            instances,
            services: self.services.clone(),
            worker: self.world.worker.as_ref().map(|seen| seen.cgroups),
            guardian: self.world.guardian.as_ref().map(|seen| seen.abilities),
            settled: self.settled,
            broker,
        }));
    }
}

impl Reconciler {
    /// Shows the interfaces what is so now, and wakes their readers only where that is something new.
    fn paint(&self, instances: &BTreeMap<AppName, InstanceStatus>) {
        let hosted = instances.values().map(|status| Application::Hosted {
            instance: Arc::clone(&status.instance),
            state: status.state.clone(),
            running: matches!(status.container, ContainerState::Running { .. }),
        });
        let (own, elsewhere): (Vec<_>, Vec<_>) = self
            .registrations
            .values()
            .partition(|registration| self.instances.contains_key(&registration.id));
        let elsewhere = elsewhere
            .into_iter()
            .map(|registration| Application::Registered(Arc::clone(registration)));
        let picture = Picture {
            applications: hosted
                .chain(elsewhere)
                .map(|application| (application.id().clone(), application))
                .collect(),
            registrations: own
                .into_iter()
                .map(|registration| (registration.id.clone(), Arc::clone(registration)))
                .collect(),
            services: self.services.clone(),
            allocations: self.allocations.clone(),
        };
        self.pictures.send_if_modified(|shown| {
            let new = **shown != picture;
            if new {
                *shown = Arc::new(picture);
            }
            new
        });
    }
}

/// Whether two states are one to a listener: the time left of a pause is no news.
fn same_kind(told: &InstanceState, now: &InstanceState) -> bool {
    match (told, now) {
        (InstanceState::BackOff { reason: a, .. }, InstanceState::BackOff { reason: b, .. }) => {
            a == b
        }
        _ => told == now,
    }
}

async fn pause(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
