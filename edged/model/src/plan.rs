//! The plan: from what is wanted and what is seen to the next action. Pure, so that every case can be a test.

use crate::{AppInstance, ContainerState, Digest, ExitCode, Goal, Observed, RestartPolicy};

/// One step of an instance's life. Each is idempotent; the first that is missing is the next to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Unpack one layer of the image.
    UnpackLayer(Digest),
    /// Put the instance's rules into the firewall.
    AllowTraffic,
    /// Make its account and role on the broker.
    GrantAccount,
    /// Make its container.
    CreateContainer,
    /// Join its container to the network.
    AttachLink,
    /// Start its program.
    StartContainer,
    /// Give it its names and its entry in the registry.
    Announce,
    /// Take names and entry back.
    Withdraw,
    /// Ask it to stop, and make it after its grace.
    StopContainer,
    /// Delete its container and keep the exit code.
    DeleteContainer,
    /// Take the link away.
    DetachLink,
    /// Take the account and role away.
    RevokeAccount,
    /// Take its rules out of the firewall.
    DenyTraffic,
    /// Forget the instance.
    Forget,
}

/// The next action for one instance, or `None` where it is as wanted (or waits for an event).
///
/// Order of making: layers, firewall, account, container, link, start, announcement. Undoing runs the other way.
/// Whatever is seen that is not wanted is taken away before anything is added.
pub fn plan(wanted: &AppInstance, seen: &Observed) -> Option<Action> {
    match wanted.goal {
        Goal::Running => run(wanted.spec.restart, seen),
        Goal::Stopped => undo(seen),
        // Nothing to undo is also said of a container that is still ending: it is waited for.
        Goal::Removed => {
            let gone = seen.container == ContainerState::Absent;
            undo(seen).or(gone.then_some(Action::Forget))
        }
    }
}

fn run(restart: RestartPolicy, seen: &Observed) -> Option<Action> {
    match seen.container {
        ContainerState::Running { .. } => {
            if seen.announced && !seen.ready {
                return Some(Action::Withdraw);
            }
            if !seen.policy {
                return Some(Action::AllowTraffic);
            }
            if !seen.link {
                return Some(Action::AttachLink);
            }
            if seen.account == Some(false) {
                return Some(Action::GrantAccount);
            }
            (seen.ready && !seen.announced).then_some(Action::Announce)
        }
        _ if seen.announced => Some(Action::Withdraw),
        ContainerState::Stopping => None,
        ContainerState::Exited { code } => {
            let again = match restart {
                _ if seen.again => true,
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => code != ExitCode::Code(0),
                RestartPolicy::Never => false,
            };
            again.then_some(Action::DeleteContainer)
        }
        ContainerState::Created if seen.link => Some(Action::StartContainer),
        ContainerState::Created => Some(Action::AttachLink),
        ContainerState::Absent => make(seen),
    }
}

fn make(seen: &Observed) -> Option<Action> {
    if seen.link {
        // A link without a container is left from an earlier life: its other end is gone.
        return Some(Action::DetachLink);
    }
    if let Some(layer) = seen.missing_layers.first() {
        return Some(Action::UnpackLayer(layer.clone()));
    }
    if seen.waits_for.is_some() {
        return None;
    }
    if !seen.policy {
        return Some(Action::AllowTraffic);
    }
    match seen.account {
        Some(true) => Some(Action::CreateContainer),
        // An unreachable broker fails this action, which says so and is tried again.
        Some(false) | None => Some(Action::GrantAccount),
    }
}

fn undo(seen: &Observed) -> Option<Action> {
    if seen.announced {
        return Some(Action::Withdraw);
    }
    match seen.container {
        ContainerState::Running { .. } => return Some(Action::StopContainer),
        ContainerState::Stopping => return None,
        ContainerState::Created | ContainerState::Exited { .. } => {
            return Some(Action::DeleteContainer);
        }
        ContainerState::Absent => {}
    }
    if seen.link {
        return Some(Action::DetachLink);
    }
    if seen.account != Some(false) {
        return Some(Action::RevokeAccount);
    }
    seen.policy.then_some(Action::DenyTraffic)
}

#[cfg(test)]
mod tests;
