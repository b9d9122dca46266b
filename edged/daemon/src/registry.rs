//! The MEC interfaces' view of the node: [`edged_mec::Platform`] over the reconciler.

use std::fmt::Write as _;
use std::sync::Arc;

use edged_dns::Directory;
use edged_mec::{Platform, Problem, RegisteredService};
use edged_model::{ContainerState, InstanceId, InstanceState};
use tokio::sync::oneshot;

use crate::reconcile::{Denied, Mailbox, Message, Wish};
use crate::snapshot::{Reader, Snapshot};

/// The node as applications see it.
#[derive(Debug, Clone)]
pub struct Registry {
    mailbox: Mailbox,
    reader: Reader,
    directory: Directory,
}

impl Registry {
    /// A view of the node.
    pub fn new(mailbox: Mailbox, reader: Reader, directory: Directory) -> Self {
        Self {
            mailbox,
            reader,
            directory,
        }
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.reader.borrow())
    }

    async fn wish(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<(), Denied>>) -> Wish,
    ) -> Result<(), Problem> {
        let (reply, answer) = oneshot::channel();
        let ending = || Problem::unavailable("the platform is ending; try again in a moment");
        self.mailbox
            .send(Message::Wish(make(reply)))
            .await
            .map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?.map_err(|denied| {
            tracing::error!(%denied, "a service was not kept");
            Problem::unavailable("the service registry cannot be written; try again later")
        })
    }
}

impl Platform for Registry {
    fn knows(&self, instance: &InstanceId) -> bool {
        self.now().by_id(instance).is_some()
    }

    fn is_secret_of(&self, instance: &InstanceId, secret: &str) -> bool {
        self.now().by_id(instance).is_some_and(|status| {
            same_bytes(
                status.credentials.client_secret.expose().as_bytes(),
                secret.as_bytes(),
            )
        })
    }

    async fn confirm_ready(&self, instance: InstanceId) -> Result<(), Problem> {
        // Readiness here is what the probes see; the word of the application is checked against its being there.
        let now = self.now();
        match now.by_id(&instance).map(|status| status.container) {
            Some(ContainerState::Running { .. }) => Ok(()),
            _ => Err(Problem::conflict("the application instance does not run")),
        }
    }

    fn services(&self) -> Vec<RegisteredService> {
        self.now().services.clone()
    }

    async fn put_service(&self, service: RegisteredService) -> Result<(), Problem> {
        let id = service.id.clone();
        self.wish(|reply| Wish::PutService {
            service: Box::new(service.clone()),
            reply,
        })
        .await?;
        self.seen(|now| {
            now.services
                .iter()
                .any(|known| known.id == id && known.info == service.info)
        })
        .await
    }

    async fn remove_service(&self, id: String) -> Result<(), Problem> {
        self.wish(|reply| Wish::RemoveService {
            id: id.clone(),
            reply,
        })
        .await?;
        self.seen(|now| now.services.iter().all(|known| known.id != id))
            .await
    }

    fn readiness(&self) -> Result<(), String> {
        let now = self.now();
        let missing = [
            (now.worker.is_none()).then(|| "the worker is not running".to_owned()),
            (!now.guardian).then(|| "the guardian is not running".to_owned()),
            now.broker
                .clone()
                .err()
                .map(|reason| format!("the broker does not answer: {reason}")),
        ];
        let missing: Vec<String> = missing.into_iter().flatten().collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("; "))
        }
    }

    fn metrics(&self) -> String {
        let now = self.now();
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
            u64::from(now.guardian),
        );
        metric(
            "edged_broker_up",
            "gauge",
            "Whether the broker answers.",
            u64::from(now.broker.is_ok()),
        );
        let dns = self.directory.counts();
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
}

impl Registry {
    /// Waits until the picture that everybody reads shows it: a service that was registered is found at once.
    async fn seen(&self, mut shows: impl FnMut(&Snapshot) -> bool) -> Result<(), Problem> {
        let mut reader = self.reader.clone();
        reader
            .wait_for(|now| shows(now))
            .await
            .map(drop)
            .map_err(|_| Problem::unavailable("the platform is ending; try again in a moment"))
    }
}

/// Compares without telling by its time how far two secrets agree.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0_u8, |difference, (a, b)| difference | (a ^ b))
            == 0
}
