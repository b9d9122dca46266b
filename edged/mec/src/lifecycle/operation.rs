//! One run of a task on an instance (`AppLcmOpOcc`, MEC 010-2, 6.2.2.13): a durable record and its states.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_model::{InstanceId, Rules};
use edged_store::Record;
use mec_api::Problem;
use mec_api::common::{LinkType, TimeStamp};
use mec_api::lifecycle::{
    AppLcmOpOcc, AppLcmOpOccLinks, BASE, CancelMode, CancelModeKind, InstantiateAppRequest,
    LcmOperation, OperateAppRequest, OperationParams, OperationState, TerminateAppRequest,
};
use serde::{Deserialize, Serialize};

/// Name of a run, chosen by us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(String);

impl OperationId {
    /// A fresh one (UUID version 4, RFC 9562).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// The text of a path; whether there is such a run is asked elsewhere.
    pub fn from_path(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// Bring the instance into being.
    Instantiate(Box<InstantiateAppRequest>),
    /// Start or stop it.
    Operate(OperateAppRequest),
    /// End it.
    Terminate(TerminateAppRequest),
    /// Give it these rules.
    Configure(Rules),
}

impl Task {
    /// `lcmOperation`. The standard has no word for configuring the platform; it counts as operating.
    pub fn kind(&self) -> LcmOperation {
        match self {
            Self::Instantiate(_) => LcmOperation::Instantiate,
            Self::Operate(_) | Self::Configure(_) => LcmOperation::Operate,
            Self::Terminate(_) => LcmOperation::Terminate,
        }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum State {
    /// Accepted, not begun.
    Starting,
    /// Under way.
    Processing {
        /// It is being undone, in this way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancel: Option<CancelModeKind>,
    },
    /// Done.
    Completed,
    /// Not done: it can be tried again or given up.
    FailedTemp {
        /// Why, in one sentence.
        reason: String,
    },
    /// Given up.
    Failed {
        /// Why it had failed before.
        reason: String,
    },
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Its work is taken up, perhaps again after a restart.
    Begun,
    /// Somebody wants it undone.
    Cancelled(CancelModeKind),
    /// What was asked for is so.
    Done,
    /// It cannot go on, and why.
    Faulted(String),
    /// Somebody wants it tried again.
    Retried,
    /// Somebody gives it up.
    GivenUp,
}

impl State {
    /// The state after an event; `None` where the event cannot be.
    pub fn after(&self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Starting, Event::Begun) | (Self::FailedTemp { .. }, Event::Retried) => {
                Some(Self::Processing { cancel: None })
            }
            (Self::Processing { .. }, Event::Begun) => Some(self.clone()),
            (Self::Processing { cancel }, Event::Cancelled(mode)) => Some(Self::Processing {
                // What is broken off is not taken back into good order.
                cancel: Some(
                    cancel
                        .filter(|had| *had == CancelModeKind::Forced)
                        .unwrap_or(mode),
                ),
            }),
            (Self::Processing { .. }, Event::Done) => Some(Self::Completed),
            (Self::Starting | Self::Processing { .. }, Event::Faulted(reason)) => {
                Some(Self::FailedTemp { reason })
            }
            (Self::FailedTemp { reason }, Event::GivenUp) => Some(Self::Failed {
                reason: reason.clone(),
            }),
            (
                Self::Starting,
                Event::Cancelled(_) | Event::Done | Event::Retried | Event::GivenUp,
            )
            | (Self::Processing { .. }, Event::Retried | Event::GivenUp)
            | (
                Self::FailedTemp { .. },
                Event::Begun | Event::Cancelled(_) | Event::Done | Event::Faulted(_),
            )
            | (Self::Completed | Self::Failed { .. }, _) => None,
        }
    }

    /// The word of the interface.
    pub fn word(&self) -> OperationState {
        match self {
            Self::Starting => OperationState::Starting,
            Self::Processing { .. } => OperationState::Processing,
            Self::Completed => OperationState::Completed,
            Self::FailedTemp { .. } => OperationState::FailedTemp,
            Self::Failed { .. } => OperationState::Failed,
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed { .. })
    }

    /// Whether somebody has to work on it.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Starting | Self::Processing { .. })
    }

    /// How it is being undone, if it is.
    pub fn cancel(&self) -> Option<CancelModeKind> {
        match self {
            Self::Processing { cancel } => *cancel,
            _ => None,
        }
    }

    /// Why it failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::FailedTemp { reason } | Self::Failed { reason } => Some(reason),
            _ => None,
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// The instance that it works on.
    pub instance: InstanceId,
    /// What was asked for.
    pub task: Task,
    /// How far it has come.
    pub state: State,
    /// When it came into this state.
    pub entered: TimeStamp,
    /// When it began.
    pub started: TimeStamp,
}

impl Record for Operation {
    const KIND: &'static str = "app-lcm-op-occ";
    fn key(&self) -> &str {
        self.id.as_str()
    }
}

impl Operation {
    /// A run that is accepted now.
    pub fn new(instance: InstanceId, task: Task) -> Self {
        let now = now();
        Self {
            id: OperationId::random(),
            instance,
            task,
            state: State::Starting,
            entered: now.clone(),
            started: now,
        }
    }

    /// The run after an event; `None` where the event cannot be.
    pub fn after(&self, event: Event) -> Option<Self> {
        let state = self.state.after(event)?;
        let entered = if state.word() == self.state.word() {
            self.entered.clone()
        } else {
            now()
        };
        Some(Self {
            state,
            entered,
            ..self.clone()
        })
    }

    /// What is answered; links begin with `origin`.
    pub fn shown(&self, origin: &str) -> AppLcmOpOcc {
        let cancel = self.state.cancel();
        let link = |collection: &str, id: &str| LinkType {
            href: format!("{origin}{BASE}/{collection}/{id}"),
        };
        AppLcmOpOcc {
            id: self.id.to_string(),
            operation_state: self.state.word(),
            state_entered_time: self.entered.clone(),
            start_time: self.started.clone(),
            lcm_operation: self.task.kind(),
            operation_params: match &self.task {
                Task::Instantiate(body) => {
                    Some(OperationParams::Instantiate(body.as_ref().clone()))
                }
                Task::Operate(body) => Some(OperationParams::Operate(body.clone())),
                Task::Terminate(body) => Some(OperationParams::Terminate(body.clone())),
                Task::Configure(_) => None,
            },
            is_cancel_pending: Some(cancel.is_some()),
            cancel_mode: cancel.map(|mode| CancelMode {
                cancel_mode: Some(mode),
                cancel_mode_capitalized: None,
            }),
            // The request was in order and met something on the box: a conflict with its state.
            error: (self.state.reason()).map(|reason| Problem::conflict(reason).details()),
            links: AppLcmOpOccLinks {
                itself: link("app_lcm_op_occs", self.id.as_str()),
                app_instance: link("app_instances", self.instance.as_str()),
            },
        }
    }

    /// How long ago it came into this state, by the clock of the day; nothing where that was set back.
    pub fn age(&self) -> Duration {
        let then = Duration::new(u64::from(self.entered.seconds), self.entered.nano_seconds);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default().saturating_sub(then)
    }
}

/// The time of day. The standard gives seconds 32 bits: they last until 2106.
pub fn now() -> TimeStamp {
    let age = SystemTime::now().duration_since(UNIX_EPOCH);
    let age = age.unwrap_or_default();
    TimeStamp {
        seconds: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
        nano_seconds: age.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> [State; 6] {
        let reason = || "it broke".to_owned();
        [
            State::Starting,
            State::Processing { cancel: None },
            State::Processing {
                cancel: Some(CancelModeKind::Graceful),
            },
            State::Completed,
            State::FailedTemp { reason: reason() },
            State::Failed { reason: reason() },
        ]
    }

    fn permits(event: &Event) -> Vec<OperationState> {
        let states = states();
        let found = states
            .iter()
            .filter(|state| state.after(event.clone()).is_some());
        let mut words: Vec<_> = found.map(State::word).collect();
        words.dedup();
        words
    }

    #[test]
    fn cancel_is_for_processing_and_retry_and_fail_are_for_what_failed() {
        use OperationState::{FailedTemp, Processing};
        let cancel = Event::Cancelled(CancelModeKind::Forced);
        assert_eq!(permits(&cancel), [Processing]);
        assert_eq!(permits(&Event::Retried), [FailedTemp]);
        assert_eq!(permits(&Event::GivenUp), [FailedTemp]);
    }

    #[test]
    fn what_is_final_stays() {
        for state in states().iter().filter(|state| state.is_final()) {
            for event in [
                Event::Begun,
                Event::Done,
                Event::Faulted(String::new()),
                Event::Retried,
                Event::GivenUp,
            ] {
                assert_eq!(state.after(event), None, "{state:?}");
            }
        }
    }

    #[test]
    fn a_restart_takes_up_what_was_under_way_and_remembers_that_it_is_cancelled() {
        let cancelled = State::Processing {
            cancel: Some(CancelModeKind::Graceful),
        };
        assert_eq!(cancelled.after(Event::Begun), Some(cancelled));
        for state in states().iter().filter(|state| state.is_under_way()) {
            let word = state.after(Event::Begun).map(|state| state.word());
            assert_eq!(word, Some(OperationState::Processing));
        }
    }

    #[test]
    fn forced_is_not_made_graceful_again() {
        let state = State::Processing {
            cancel: Some(CancelModeKind::Forced),
        };
        let after = state.after(Event::Cancelled(CancelModeKind::Graceful));
        assert_eq!(after, Some(state));
    }

    #[test]
    fn a_run_survives_being_written_down() {
        let request = OperateAppRequest {
            change_state_to: mec_api::lifecycle::OperationalState::Stopped,
            stop_type: None,
            graceful_stop_timeout: None,
        };
        let tasks = [Task::Operate(request), Task::Configure(Rules::default())];
        for (task, state) in tasks.into_iter().cycle().zip(states()) {
            let mut run = Operation::new(InstanceId::random(), task);
            run.state = state;
            let text = serde_json::to_string(&run).unwrap();
            assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), run);
        }
    }
}
