//! The node in numbers: Prometheus text (exposition format 0.0.4).

use std::fmt::Write as _;

use edged_dns::Directory;
use edged_model::InstanceState;

use crate::snapshot::Snapshot;

/// Every number, as it is now.
pub fn text(now: &Snapshot, directory: &Directory) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    };
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let ready = now
        .instances
        .values()
        .filter(|status| status.state == InstanceState::Ready)
        .count();
    let restarts: u64 = now
        .instances
        .values()
        .map(|status| u64::from(status.restarts))
        .sum();
    metric(
        "edged_instances",
        "gauge",
        "Applications wanted on this box.",
        count(now.instances.len()),
    );
    metric(
        "edged_instances_ready",
        "gauge",
        "Applications that are ready.",
        count(ready),
    );
    metric(
        "edged_instance_restarts_total",
        "counter",
        "Starts again since edged started.",
        restarts,
    );
    metric(
        "edged_services",
        "gauge",
        "Services that applications registered.",
        count(now.services.len()),
    );
    metric(
        "edged_worker_up",
        "gauge",
        "Whether the worker answers.",
        u64::from(now.worker.is_some()),
    );
    metric(
        "edged_guardian_up",
        "gauge",
        "Whether the guardian answers.",
        u64::from(now.guardian.is_some()),
    );
    metric(
        "edged_broker_up",
        "gauge",
        "Whether the broker answers.",
        u64::from(now.broker.is_ok()),
    );
    let dns = directory.counts();
    metric(
        "edged_dns_queries_total",
        "counter",
        "Questions answered.",
        dns.queries,
    );
    metric(
        "edged_dns_forwarded_total",
        "counter",
        "Questions sent on.",
        dns.forwarded,
    );
    metric(
        "edged_dns_refused_total",
        "counter",
        "Questions refused.",
        dns.refused,
    );
    text
}
