//! One instance in the reconciler's hands: what is wanted, what edged itself knows, and the state that follows.

use std::sync::Arc;

use edged_model::{
    AppInstance, AppName, ContainerState, ExitCode, Goal, InstanceId, InstanceState, Observed,
    RestartPolicy,
};
use edged_store::{Credentials, Record};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::retry::Retry;
use super::world::World;

/// The run of a container that its application said to be ready: durable, because it says so once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Whose.
    pub instance: InstanceId,
    /// Process id of the container's init.
    pub pid: u32,
    /// Unix milliseconds of its start.
    pub since: u64,
}

impl Record for Confirmed {
    const KIND: &'static str = "confirmed";
    fn key(&self) -> &str {
        self.instance.as_str()
    }
}

/// An instance and everything about it that nobody else knows.
#[allow(clippy::struct_excessive_bools)] // independent facts; the states that follow are an enum
#[derive(Debug)]
pub struct Tracked {
    /// What is wanted.
    pub instance: Arc<AppInstance>,
    /// Its secrets.
    pub credentials: Credentials,
    /// An action is under way.
    pub busy: bool,
    /// The end that was told while the action was under way: newer than what the action saw.
    pub ended_meanwhile: Option<ExitCode>,
    /// The end of the present container is counted.
    end_counted: bool,
    /// It belongs into the firewall.
    pub allowed: bool,
    /// Its names and services are published.
    pub announced: bool,
    /// The run that the application said to be ready.
    pub confirmed: Option<Confirmed>,
    /// The readiness probe's last word about the running container.
    pub probed_ready: bool,
    /// The probes of the running container, by its process id.
    pub probes: Option<(u32, AbortHandle)>,
    /// An operator asked for another start.
    pub again: bool,
    /// An operator's own grace for the stop under way.
    pub grace_ms: Option<u32>,
    /// Failures and the pause they cause.
    pub retry: Retry,
    /// How the container ended the last time.
    pub last_exit: Option<ExitCode>,
    /// Starts again by the platform.
    pub restarts: u32,
    /// The state that was last told on the bus.
    pub told: Option<InstanceState>,
}

impl Tracked {
    /// An instance read from the store or just deployed. Whether it belongs into the firewall follows from its goal.
    pub fn new(instance: AppInstance, credentials: Credentials) -> Self {
        Self {
            allowed: instance.goal == Goal::Running,
            instance: Arc::new(instance),
            credentials,
            busy: false,
            ended_meanwhile: None,
            end_counted: false,
            announced: false,
            confirmed: None,
            probed_ready: false,
            probes: None,
            again: false,
            grace_ms: None,
            retry: Retry::default(),
            last_exit: None,
            restarts: 0,
            told: None,
        }
    }

    /// Its container is in this state now. Its end counts once, from whomever it is heard: an event, the look after an
    /// action, or the first look after a restart of edged or the worker.
    pub fn saw(&mut self, container: ContainerState) {
        let ContainerState::Exited { code } = container else {
            self.end_counted = false;
            if let (ContainerState::Running { .. }, false) = (container, self.busy) {
                // It runs: what was asked for is there.
                self.again = false;
            }
            return;
        };
        if !std::mem::replace(&mut self.end_counted, true) {
            self.ended(code);
        }
    }

    /// Its container has ended by itself or as it was told.
    fn ended(&mut self, code: ExitCode) {
        tracing::info!(app = %self.instance.spec.name, %code, "container ended");
        self.last_exit = Some(code);
        self.stop_probes();
        if self.instance.goal == Goal::Running && !self.again && self.will_restart(code) {
            self.restarts = self.restarts.saturating_add(1);
            self.retry.failed(format!("its container ended ({code})"));
        }
    }

    /// What is wanted changes.
    pub fn want(&mut self, goal: Goal, grace_ms: Option<u32>, container: ContainerState) {
        let mut instance = AppInstance::clone(&self.instance);
        instance.goal = goal;
        self.instance = Arc::new(instance);
        self.retry.reset();
        self.grace_ms = grace_ms;
        // One that runs undisturbed is not started again; one that is ending is, whatever its restart policy.
        let undisturbed = matches!(container, ContainerState::Running { .. }) && !self.busy;
        self.again = goal == Goal::Running && !undisturbed;
    }

    fn will_restart(&self, code: ExitCode) -> bool {
        match self.instance.spec.restart {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != ExitCode::Code(0),
            RestartPolicy::Never => false,
        }
    }

    /// Ends the probes of a container that is gone or going.
    pub fn stop_probes(&mut self) {
        if let Some((_, probes)) = self.probes.take() {
            probes.abort();
        }
        self.probed_ready = false;
    }

    /// What is seen of it.
    pub fn observe(&self, world: &World, waits_for: Option<AppName>) -> Observed {
        let id = &self.instance.id;
        let container = world.container(id);
        let running = matches!(container, ContainerState::Running { .. });
        let policy_current = world.policy_is_current();
        Observed {
            missing_layers: world.missing_layers(&self.instance.image.layers),
            policy: match self.instance.goal {
                Goal::Running => self.allowed && policy_current,
                // What is to go counts as there until the kernel has the policy without it.
                Goal::Stopped | Goal::Removed => self.allowed || !policy_current,
            },
            account: world.account(&self.instance),
            container,
            link: world.has_link(self.instance.lease),
            ready: running && self.is_ready(container),
            announced: self.announced,
            again: self.again,
            waits_for,
        }
    }

    /// Whether the running container can serve, as far as its probes and its own word say.
    fn is_ready(&self, container: ContainerState) -> bool {
        let probes = &self.instance.spec.probes;
        let well = probes.readiness.is_none() || self.probed_ready;
        let said = self.confirmed.as_ref().is_some_and(|confirmed| {
            container
                == ContainerState::Running {
                    pid: confirmed.pid,
                    since: confirmed.since,
                }
        });
        well && (said || !probes.confirm)
    }

    /// The state that everybody is shown.
    pub fn state(&self, seen: &Observed) -> InstanceState {
        let running = matches!(seen.container, ContainerState::Running { .. });
        match self.instance.goal {
            Goal::Stopped if seen.container == ContainerState::Absent && !seen.announced => {
                InstanceState::Stopped
            }
            Goal::Stopped | Goal::Removed => InstanceState::Stopping,
            Goal::Running if seen.announced => InstanceState::Ready,
            Goal::Running => {
                if let Some((at, reason)) = self.retry.pending() {
                    let left = at.saturating_duration_since(Instant::now());
                    let retry_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                    return InstanceState::BackOff {
                        reason: reason.to_owned(),
                        retry_ms,
                    };
                }
                match (seen.container, &seen.waits_for) {
                    _ if running => InstanceState::Unready,
                    (ContainerState::Exited { code }, _)
                        if !seen.again && !self.will_restart(code) =>
                    {
                        InstanceState::Ended { code }
                    }
                    (ContainerState::Absent, Some(on)) => InstanceState::Waiting { on: on.clone() },
                    _ => InstanceState::Starting,
                }
            }
        }
    }
}
