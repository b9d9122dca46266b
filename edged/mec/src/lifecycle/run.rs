//! Runs under way: one task each, over the reconciler that serves the operator as well.

use std::sync::Arc;
use std::time::Duration;

use edged_model::{Goal, InstanceId, InstanceState};
use mec_api::app_support::OperationAction;
use mec_api::lifecycle::{CancelModeKind, InstantiateAppRequest, OperationalState, StopType};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::instance::came_up;
use super::intake;
use super::operation::{Event, Operation, OperationId, Task};
use crate::{Application, Mec, Platform};

/// Longest time until an application is ready: large images are unpacked, and some begin with a migration.
const READY: Duration = Duration::from_secs(300);
/// Longest time for an end beyond the grace that the application has: unmounting, and a worker that was away.
const GONE: Duration = Duration::from_secs(60);
/// Longest wait after a restart of the node for its parts, before what is seen of applications counts.
const PARTS: Duration = Duration::from_secs(30);
/// Pause between looks at parts that are still away.
const LOOK: Duration = Duration::from_millis(200);

/// Works on every run that is under way, also on those that a restart interrupted, as long as the node runs.
pub async fn run_operations<P: Platform>(mec: Arc<Mec<P>>) {
    let mut changes = mec.lifecycle.changes();
    let mut runs = JoinSet::new();
    for id in mec.lifecycle.attend() {
        let mec = Arc::clone(&mec);
        runs.spawn(async move {
            // Until the parts have said what is there, nothing that is seen counts.
            parts(&mec.platform).await;
            attend(&mec, &id).await;
        });
    }
    loop {
        for id in mec.lifecycle.attend() {
            let mec = Arc::clone(&mec);
            runs.spawn(async move { attend(&mec, &id).await });
        }
        // Cancel-safe: a change that is not taken is still a change, and ended runs are only counted.
        tokio::select! {
            more = changes.changed() => if more.is_err() { return },
            Some(_) = runs.join_next(), if !runs.is_empty() => {}
        }
    }
}

/// Waits for the parts of the node, but not for ever.
pub(super) async fn parts<P: Platform>(platform: &P) {
    let there = async {
        while platform.readiness().is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(PARTS, there).await;
}

/// Takes one run to its end.
async fn attend<P: Platform>(mec: &Mec<P>, id: &OperationId) {
    if let Some(run) = mec.note(id, Event::Begun) {
        let outcome = match run.state.cancel() {
            Some(mode) => Outcome::Cancelled(mode),
            None => work(mec, &run).await,
        };
        if mec.platform.pictures().has_changed().is_err() {
            // The node is ending, and whatever failed just now failed for that: the next one takes the run up.
            return;
        }
        let event = match outcome {
            Outcome::Ended(Ok(())) => Event::Done,
            Outcome::Ended(Err(reason)) => {
                halt(mec, &run).await;
                Event::Faulted(reason)
            }
            Outcome::Cancelled(mode) => Event::Faulted(match undo(mec, &run, mode).await {
                Ok(()) => "it was cancelled, and what it had done is undone".to_owned(),
                Err(reason) => format!("it was cancelled, and not all is undone: {reason}"),
            }),
        };
        mec.note(id, event);
    }
    mec.lifecycle.leave(id);
}

enum Outcome {
    Ended(Result<(), String>),
    Cancelled(CancelModeKind),
}

/// Does what was asked for, until it is done, fails or is cancelled.
async fn work<P: Platform>(mec: &Mec<P>, run: &Operation) -> Outcome {
    if let Task::Configure(rules) = &run.task {
        // One step that the kernel takes whole or not at all: it is not broken off.
        let picture = mec.platform.picture();
        let before = picture.applications.get(&run.instance);
        let before = before.map(|known| known.rules().clone());
        let set = mec.platform.set_rules(run.instance.clone(), rules.clone());
        let done = set.await.map_err(|problem| problem.detail().to_owned());
        let cancel = mec.lifecycle.operation(&run.id);
        return match (cancel.and_then(|run| run.state.cancel()), done, before) {
            (Some(_), Ok(()), Some(before)) => {
                let undone = mec.platform.set_rules(run.instance.clone(), before).await;
                Outcome::Ended(Err(match undone {
                    Ok(()) => "it was cancelled, and the rules are as before".to_owned(),
                    Err(problem) => format!("it was cancelled too late: {}", problem.detail()),
                }))
            }
            (_, done, _) => Outcome::Ended(done),
        };
    }
    let work = async {
        match &run.task {
            Task::Instantiate(body) => instantiate(mec, run, body).await,
            Task::Operate(body) if body.change_state_to == OperationalState::Started => {
                start(mec, &run.instance).await
            }
            Task::Operate(body) => {
                let graceful = body.stop_type == Some(StopType::Graceful);
                let ending = Ending {
                    goal: Goal::Stopped,
                    action: OperationAction::Stopping,
                    graceful,
                    timeout_s: body.graceful_stop_timeout,
                };
                end(mec, run, ending).await
            }
            Task::Terminate(body) => {
                let ending = Ending {
                    goal: Goal::Removed,
                    action: OperationAction::Terminating,
                    graceful: body.termination_type == StopType::Graceful,
                    timeout_s: body.graceful_termination_timeout,
                };
                end(mec, run, ending).await
            }
            Task::Configure(_) => Ok(()),
        }
    };
    tokio::select! {
        biased;
        mode = cancelled(mec, &run.id) => Outcome::Cancelled(mode),
        done = work => Outcome::Ended(done),
    }
}

/// Waits until a run is cancelled.
async fn cancelled<P: Platform>(mec: &Mec<P>, id: &OperationId) -> CancelModeKind {
    let mut changes = mec.lifecycle.changes();
    loop {
        let run = mec.lifecycle.operation(id);
        if let Some(mode) = run.and_then(|run| run.state.cancel()) {
            return mode;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn instantiate<P: Platform>(
    mec: &Mec<P>,
    run: &Operation,
    body: &InstantiateAppRequest,
) -> Result<(), String> {
    let id = &run.instance;
    if goal(mec, id) == Some(Goal::Removed) {
        gone(mec, id, GONE).await?;
    }
    if goal(mec, id).is_some() {
        return start(mec, id).await;
    }
    let instance = mec.lifecycle.instance(id.as_str());
    let instance = instance.ok_or_else(|| format!("instance {id} was deleted"))?;
    let package = mec.packages.by_appd(&instance.descriptor);
    let package = package.ok_or_else(|| format!("package {} is gone", instance.package))?;
    let vouched = mec.vouched(&package.id);
    vouched.map_err(|problem| problem.detail().to_owned())?;
    let deployment = intake::deployment(&instance, &package, body);
    let deployment = deployment.map_err(|problem| problem.detail().to_owned())?;
    let deployed = mec.platform.deploy(deployment).await;
    deployed.map_err(|problem| problem.detail().to_owned())?;
    ready(mec, id).await
}

async fn start<P: Platform>(mec: &Mec<P>, id: &InstanceId) -> Result<(), String> {
    wish(mec, id, Goal::Running, None).await?;
    ready(mec, id).await
}

/// An end that was asked for.
struct Ending {
    goal: Goal,
    action: OperationAction,
    graceful: bool,
    timeout_s: Option<u64>,
}

async fn end<P: Platform>(mec: &Mec<P>, run: &Operation, ending: Ending) -> Result<(), String> {
    let id = &run.instance;
    let picture = mec.platform.picture();
    let Some(Application::Hosted { instance, .. }) = picture.applications.get(id) else {
        // Whoever removed it meanwhile did the work.
        return match ending.goal {
            Goal::Removed => Ok(()),
            Goal::Running | Goal::Stopped => Err(removed(id)),
        };
    };
    let mut grace = Duration::ZERO;
    if ending.graceful {
        let own = instance.spec.stop.grace();
        let whole = ending.timeout_s.map_or(own, Duration::from_secs);
        // After a restart the time that has passed is gone.
        let left = whole.saturating_sub(run.age());
        let begun = Instant::now();
        let is_up = instance.goal == Goal::Running;
        let is_done = is_up && mec.tell_ending(id, ending.action, left).await;
        grace = left.saturating_sub(begun.elapsed());
        if is_done {
            // It has left in good order: its program gets no more than its own time to end.
            grace = grace.min(own);
        }
    }
    let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
    wish(mec, id, ending.goal, Some(grace_ms)).await?;
    let limit = grace.saturating_add(GONE);
    match ending.goal {
        Goal::Removed => gone(mec, id, limit).await,
        Goal::Running | Goal::Stopped => stopped(mec, id, limit).await,
    }
}

/// What is left of a run that failed does not go on by itself.
async fn halt<P: Platform>(mec: &Mec<P>, run: &Operation) {
    let starts = match &run.task {
        Task::Instantiate(_) => true,
        Task::Operate(body) => body.change_state_to == OperationalState::Started,
        Task::Terminate(_) | Task::Configure(_) => false,
    };
    if starts
        && goal(mec, &run.instance) == Some(Goal::Running)
        && let Err(reason) = wish(mec, &run.instance, Goal::Stopped, Some(0)).await
    {
        tracing::warn!(instance = %run.instance, reason, "what failed to start is not stopped");
    }
}

/// Takes back what a run has done. `GRACEFUL` leaves the application its time to end, `FORCED` does not.
async fn undo<P: Platform>(
    mec: &Mec<P>,
    run: &Operation,
    mode: CancelModeKind,
) -> Result<(), String> {
    let id = &run.instance;
    let grace_ms = match mode {
        CancelModeKind::Graceful => None,
        CancelModeKind::Forced => Some(0),
    };
    match &run.task {
        Task::Instantiate(_) => {
            // A wish to deploy that is not taken yet is taken before this one.
            wish(mec, id, Goal::Removed, grace_ms).await?;
            gone(mec, id, GONE).await
        }
        Task::Operate(body) if body.change_state_to == OperationalState::Started => {
            wish(mec, id, Goal::Stopped, grace_ms).await?;
            stopped(mec, id, GONE).await
        }
        Task::Operate(_) => start(mec, id).await,
        // Cancelled before it came to the removal, which nothing takes back.
        Task::Terminate(_) | Task::Configure(_) => Ok(()),
    }
}

/// Undoes a run that is given up: durable when it returns, and done soon after.
pub(super) async fn give_up<P: Platform>(mec: &Mec<P>, run: &Operation) -> Result<(), String> {
    if let Task::Instantiate(_) = run.task {
        wish(mec, &run.instance, Goal::Removed, Some(0)).await?;
    }
    Ok(())
}

/// Wishes; that something is removed which is not there is no failure.
async fn wish<P: Platform>(
    mec: &Mec<P>,
    id: &InstanceId,
    goal: Goal,
    grace_ms: Option<u32>,
) -> Result<(), String> {
    match mec.platform.change(id.clone(), goal, grace_ms).await {
        Ok(()) => Ok(()),
        Err(problem)
            if goal == Goal::Removed && problem.status() == axum::http::StatusCode::NOT_FOUND =>
        {
            Ok(())
        }
        Err(problem) => Err(problem.detail().to_owned()),
    }
}

/// What is wanted of an application that is on the box.
fn goal<P: Platform>(mec: &Mec<P>, id: &InstanceId) -> Option<Goal> {
    match mec.platform.picture().applications.get(id) {
        Some(Application::Hosted { instance, .. }) => Some(instance.goal),
        _ => None,
    }
}

fn removed(id: &InstanceId) -> String {
    format!("somebody else removed instance {id}")
}

async fn ready<P: Platform>(mec: &Mec<P>, id: &InstanceId) -> Result<(), String> {
    let what = "it was not ready in time";
    until(mec, id, READY, what, |application| match application {
        Some(Application::Hosted {
            instance, state, ..
        }) => match instance.goal {
            Goal::Running => came_up(state, mec.platform.readiness().is_ok()),
            Goal::Stopped => Some(Err(format!("somebody else stopped instance {id}"))),
            Goal::Removed => Some(Err(removed(id))),
        },
        _ => Some(Err(removed(id))),
    })
    .await
}

async fn stopped<P: Platform>(
    mec: &Mec<P>,
    id: &InstanceId,
    limit: Duration,
) -> Result<(), String> {
    let what = "it did not stop in time";
    until(mec, id, limit, what, |application| match application {
        Some(Application::Hosted {
            instance, state, ..
        }) => match (instance.goal, state) {
            (Goal::Stopped, InstanceState::Stopped) => Some(Ok(())),
            (Goal::Stopped, _) => None,
            (Goal::Running, _) => Some(Err(format!("somebody else started instance {id}"))),
            (Goal::Removed, _) => Some(Err(removed(id))),
        },
        _ => Some(Err(removed(id))),
    })
    .await
}

async fn gone<P: Platform>(mec: &Mec<P>, id: &InstanceId, limit: Duration) -> Result<(), String> {
    let what = "it was not removed in time, and goes as soon as it can";
    until(mec, id, limit, what, |application| {
        application.is_none().then_some(Ok(()))
    })
    .await
}

/// Waits until the picture says how it ended. A node that is ending paints no more, and its run is taken up by the next.
async fn until<P: Platform>(
    mec: &Mec<P>,
    id: &InstanceId,
    limit: Duration,
    late: &str,
    mut look: impl FnMut(Option<&Application>) -> Option<Result<(), String>>,
) -> Result<(), String> {
    let mut pictures = mec.platform.pictures();
    let seen = async {
        loop {
            let ended = look(pictures.borrow_and_update().applications.get(id));
            if let Some(ended) = ended {
                return ended;
            }
            if pictures.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let waited = tokio::time::timeout(limit, seen).await;
    waited.unwrap_or_else(|_| Err(format!("{late} ({} s)", limit.as_secs())))
}
