//! How a box is, as far as an update must leave it so.

use edged_model::{Goal, InstanceState};
use edged_update::Before;

use super::network;
use crate::snapshot::{InstanceStatus, Snapshot};

/// What is well now.
pub(super) fn of(now: &Snapshot) -> Before {
    let ready = wanted(now).filter(|status| status.state == InstanceState::Ready);
    let working = parts(now).into_iter().filter(|(_, works)| *works);
    Before {
        ready: ready
            .map(|status| {
                let instance = &status.instance;
                (instance.id.to_string(), instance.spec.name.to_string())
            })
            .collect(),
        parts: working.map(|(name, _)| name.to_owned()).collect(),
        network: network::seen(),
    }
}

/// Whether an application is to run. The reconciler shows what is stored before anybody looks, so one that is not there
/// was removed.
pub(super) fn is_wanted(now: &Snapshot, id: &str) -> bool {
    wanted(now).any(|status| status.instance.id.as_str() == id)
}

/// What has not come up yet, after a start of the box or of edged alone: the first part or application.
pub(super) fn coming(now: &Snapshot) -> Option<String> {
    let part = parts(now).into_iter().find(|(_, works)| !works);
    let part = part.map(|(name, _)| format!("the {name}"));
    part.or_else(|| {
        let up = |state: &InstanceState| {
            matches!(state, InstanceState::Ready | InstanceState::Ended { .. })
        };
        let app = wanted(now).find(|status| !up(&status.state))?;
        Some(format!("the application {}", app.instance.spec.name))
    })
}

fn wanted(now: &Snapshot) -> impl Iterator<Item = &InstanceStatus> {
    let instances = now.instances.values();
    instances.filter(|status| status.instance.goal == Goal::Running)
}

fn parts(now: &Snapshot) -> [(&'static str, bool); 4] {
    [
        ("worker", now.worker.is_some()),
        ("guardian", now.guardian.is_some()),
        ("network policy", now.settled),
        ("broker", now.broker.is_ok()),
    ]
}
