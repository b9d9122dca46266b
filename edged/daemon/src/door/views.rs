//! From the snapshot to what the operator sees.

use std::time::Duration;

use edged_console::{Applications, InstanceView, PartView, StatusView};
use edged_model::{ContainerState, InstanceState};
use edged_protocol::worker::CgroupLayout;

use crate::reconcile::Means;
use crate::snapshot::{InstanceStatus, Snapshot};

/// One instance.
pub fn instance(status: &InstanceStatus, means: &Means) -> InstanceView {
    let instance = &status.instance;
    let lease = means.addressing.lease(instance.lease);
    let started = match status.container {
        ContainerState::Running { since, .. } => Some(since / 1000),
        _ => None,
    };
    InstanceView {
        name: instance.spec.name.clone(),
        id: instance.id.clone(),
        image: instance.spec.image.clone(),
        state: status.state.clone(),
        created: instance.created,
        started,
        restarts: status.restarts,
        host_name: format!("{}.app.{}", instance.spec.name, means.config.node.zone()),
        v4: lease.v4,
        v6: lease.v6,
        ports: instance.spec.network.publish.clone(),
        services: instance
            .spec
            .services
            .iter()
            .map(|service| service.name.clone())
            .collect(),
    }
}

/// The box.
pub fn status(now: &Snapshot, means: &Means, uptime: Duration) -> StatusView {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let ready = now
        .instances
        .values()
        .filter(|status| status.state == InstanceState::Ready)
        .count();
    let part = |name: &str, ok: bool, detail: String| PartView {
        name: name.to_owned(),
        ok,
        detail,
    };
    let worker = match now.worker {
        Some(CgroupLayout::V1) => "runs containers on cgroup version 1",
        Some(CgroupLayout::Hybrid) => {
            "runs containers on cgroup version 1 beside an empty version 2"
        }
        Some(CgroupLayout::V2) => "runs containers on cgroup version 2",
        None => "is not running; applications go on, nothing can be started or stopped",
    };
    let guardian = if now.guardian.is_some() {
        "keeps links and firewall"
    } else {
        "is not running; the firewall stays as it is, nothing can be started or stopped"
    };
    let broker = match &now.broker {
        Ok(()) => format!(
            "answers at {}:{}",
            means.config.mqtt.host, means.config.mqtt.port
        ),
        Err(reason) => reason.clone(),
    };
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        zone: means.config.node.zone(),
        uptime: uptime.as_secs(),
        build: None,
        commissioned: true,
        applications: Applications {
            total: count(now.instances.len()),
            ready: count(ready),
        },
        parts: vec![
            part("worker", now.worker.is_some(), worker.to_owned()),
            part("guardian", now.guardian.is_some(), guardian.to_owned()),
            part("broker", now.broker.is_ok(), broker),
        ],
    }
}
