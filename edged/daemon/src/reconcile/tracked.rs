//! One instance in the reconciler's hands: what is wanted, what edged itself knows, and the state that follows.

use std::sync::Arc;
use std::time::Duration;

use edged_model::{
    AppInstance, AppName, ContainerState, ExitCode, Goal, InstanceState, Observed, RestartPolicy,
};
use edged_store::Credentials;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::retry::Retry;
use super::world::World;

/// A container that lived this long was well: its end starts the pauses from the beginning.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// An instance and everything about it that nobody else knows.
#[derive(Debug)]
pub struct Tracked {
    /// What is wanted.
    pub instance: Arc<AppInstance>,
    /// Its secrets.
    pub credentials: Credentials,
    /// An action is under way.
    pub busy: bool,
    /// An exit was told while the action was under way: newer than what the action saw.
    pub ended_meanwhile: bool,
    /// It belongs into the firewall.
    pub allowed: bool,
    /// Its names and services are published.
    pub announced: bool,
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
    started: Option<Instant>,
}

impl Tracked {
    /// An instance read from the store or just deployed. Whether it belongs into the firewall follows from its goal.
    pub fn new(instance: AppInstance, credentials: Credentials) -> Self {
        Self {
            allowed: instance.goal == Goal::Running,
            instance: Arc::new(instance),
            credentials,
            busy: false,
            ended_meanwhile: false,
            announced: false,
            probed_ready: false,
            probes: None,
            again: false,
            grace_ms: None,
            retry: Retry::default(),
            last_exit: None,
            restarts: 0,
            told: None,
            started: None,
        }
    }

    /// Its container has started.
    pub fn started(&mut self) {
        self.started = Some(Instant::now());
        self.again = false;
    }

    /// Its container has ended by itself or as it was told.
    pub fn ended(&mut self, code: ExitCode) {
        self.last_exit = Some(code);
        self.ended_meanwhile = self.busy;
        self.stop_probes();
        let lived = self.started.take().map_or(WELL_AFTER, |at| at.elapsed());
        if self.instance.goal == Goal::Running && self.will_restart(code) {
            if lived >= WELL_AFTER {
                self.retry.reset();
            }
            self.restarts = self.restarts.saturating_add(1);
            self.retry.failed(format!("its container ended ({code})"));
        }
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
            ready: running && (self.instance.spec.probes.readiness.is_none() || self.probed_ready),
            announced: self.announced,
            again: self.again,
            waits_for,
        }
    }

    /// The state that everybody is shown.
    pub fn state(&self, seen: &Observed) -> InstanceState {
        let running = matches!(seen.container, ContainerState::Running { .. });
        match self.instance.goal {
            Goal::Removed => InstanceState::Stopping,
            Goal::Stopped if seen.container == ContainerState::Absent && !seen.announced => {
                InstanceState::Stopped
            }
            Goal::Stopped => InstanceState::Stopping,
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
