//! The MEC interfaces' view of the node: [`edged_mec::Platform`] over the reconciler, the images and the resolver.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use edged_authority::{Names, Purpose, requested_key};
use edged_console::{ErrorKind, PlatformError};
use edged_dns::Directory;
use edged_image::{ImageError, Puller};
use edged_mec::{
    Allocated, ApplicationStatus, Deployment, NodeStatus, PartStatus, Picture, Platform, Problem,
    RegisteredService, Registration, Statement,
};
use edged_model::{AllocationId, Goal, ImageReference, InstanceId, Rules, TrafficRule};
use edged_net::shape::ShapeProblem;
use edged_protocol::guardian::Shape;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::door;
use crate::metrics;
use crate::prepare;
use crate::reconcile::{Claim, Denied, Mailbox, Means, Message, Which, Wish};
use crate::snapshot::{Reader, Snapshot};
use crate::trust::{Trust, shown};
use crate::update::Updates;

/// The node as applications and orchestrators see it.
#[derive(Debug, Clone)]
pub struct Registry {
    means: Means,
    trust: Trust,
    updates: Updates,
    puller: Arc<Puller>,
    mailbox: Mailbox,
    reader: Reader,
    pictures: watch::Receiver<Arc<Picture>>,
    directory: Directory,
    since: Instant,
}

impl Registry {
    /// A view of the node.
    pub fn new(
        means: Means,
        (trust, updates): (Trust, Updates),
        puller: Arc<Puller>,
        mailbox: Mailbox,
        (reader, pictures): (Reader, watch::Receiver<Arc<Picture>>),
        directory: Directory,
    ) -> Self {
        Self {
            means,
            trust,
            updates,
            puller,
            mailbox,
            reader,
            pictures,
            directory,
            since: Instant::now(),
        }
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.reader.borrow())
    }

    fn tidy(&self, error: Option<&ImageError>) {
        door::tidy_after(&self.means, &self.mailbox, &self.reader, error);
    }

    async fn wish<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Denied>>) -> Wish,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .send(Message::Wish(make(reply)))
            .await
            .map_err(|_| ending())?;
        answer
            .await
            .map_err(|_| ending())?
            .map_err(|denied| problem(&denied))
    }

    /// Whether the kernel can keep an allocation beside the others of its link.
    fn fits(&self, new: &Allocated) -> Result<(), Problem> {
        let now = self.now();
        let abilities = now.guardian.ok_or_else(guardian_away)?;
        let owner = &new.allocation.instance;
        let Some(status) = now.by_id(owner) else {
            return Err(Problem::not_found(format!(
                "there is no application instance {owner}"
            )));
        };
        let picture = self.picture();
        let others = picture.allocations.iter().map(|known| &known.allocation);
        let others =
            others.filter(|known| known.instance == *owner && known.id != new.allocation.id);
        let shapes: Vec<Shape> = others
            .chain([&new.allocation])
            .map(|allocation| Shape {
                place: status.instance.lease,
                allocation: allocation.clone(),
            })
            .collect();
        edged_net::shape::feasible(&shapes, abilities).map_err(|problem| {
            let text = problem.to_string();
            match problem {
                ShapeProblem::Unable(_) | ShapeProblem::Allocations(_) => Problem::forbidden(text),
                _ => Problem::bad_request(text),
            }
        })
    }

    async fn claim(&self, claim: Claim) -> Result<(), Problem> {
        self.wish(|reply| Wish::Claim { claim, reply }).await
    }

    /// Waits until the picture that everybody reads shows it: what was promised is found at once.
    async fn seen(&self, mut shows: impl FnMut(&Picture) -> bool) -> Result<(), Problem> {
        let mut pictures = self.pictures.clone();
        let waited = pictures.wait_for(|picture| shows(picture)).await;
        waited.map(drop).map_err(|_| ending())
    }
}

impl Platform for Registry {
    fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.pictures.borrow())
    }

    fn pictures(&self) -> watch::Receiver<Arc<Picture>> {
        self.pictures.clone()
    }

    fn is_secret_of(&self, instance: &InstanceId, secret: &str) -> bool {
        self.now().by_id(instance).is_some_and(|status| {
            let known = status.credentials.client_secret.expose();
            same_bytes(known.as_bytes(), secret.as_bytes())
        })
    }

    fn readiness(&self) -> Result<(), String> {
        let now = self.now();
        let missing = [
            (now.worker.is_none()).then(|| "the worker is not running".to_owned()),
            (now.guardian.is_none()).then(|| "the guardian is not running".to_owned()),
            (now.guardian.is_some() && !now.settled)
                .then(|| "the firewall is not yet as it is wanted".to_owned()),
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
        metrics::text(&self.now(), &self.directory)
    }

    async fn trust_status(
        &self,
        unvouched: BTreeSet<ImageReference>,
    ) -> Result<serde_json::Value, Problem> {
        let all = self
            .trust
            .status(&self.means.images, &self.now(), unvouched)
            .await;
        all.and_then(|all| shown(&all))
            .map_err(|error| refused(&error))
    }

    async fn attest(
        &self,
        nonce: Vec<u8>,
        application: Option<Statement>,
    ) -> Result<serde_json::Value, Problem> {
        let evidence = self.trust.attest(&nonce, false, application.as_ref()).await;
        evidence
            .and_then(|evidence| shown(&evidence))
            .map_err(|error| refused(&error))
    }

    async fn certify(&self, host: String, request: Vec<u8>) -> Result<String, Problem> {
        let (config, trust) = (Arc::clone(&self.means.config), self.trust.clone());
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "no certificate was given");
            Problem::internal("the certificate could not be made; the box's log says why")
        };
        let work = tokio::task::spawn_blocking(move || {
            let public =
                requested_key(&request).map_err(|error| Problem::bad_request(error.to_string()))?;
            let authority = prepare::authority(&config, &trust).map_err(|error| failed(&error))?;
            let names = Names {
                common: host.clone(),
                hosts: vec![host],
                addresses: Vec::new(),
            };
            let made = authority.issue(Purpose::Service, &names, &public, SystemTime::now());
            let made = made.map_err(|error| failed(&error))?;
            Ok(made.pem() + &authority.root_pem())
        });
        work.await.map_err(|_| ending())?
    }

    fn update_status(&self) -> serde_json::Value {
        self.updates.shown()
    }

    async fn install_update(
        &self,
        no_way_back: bool,
        bundle: axum::body::Body,
    ) -> Result<serde_json::Value, Problem> {
        self.updates.install_body(no_way_back, bundle).await
    }

    async fn roll_back_update(&self) -> Result<serde_json::Value, Problem> {
        self.updates.roll_back_shown().await
    }

    fn status(&self) -> NodeStatus {
        let now = self.now();
        let status = door::status_view(&now, &self.means, self.since.elapsed());
        let parts = status.parts.into_iter().map(|part| PartStatus {
            name: part.name,
            ok: part.ok,
            detail: part.detail,
        });
        let applications = now.instances.values().map(|status| {
            let view = door::instance_view(status, &self.means);
            ApplicationStatus {
                app_instance_id: view.id.to_string(),
                name: view.name.to_string(),
                state: view.state.to_string(),
                image: view.image.to_string(),
                host_name: view.host_name,
                addresses: vec![view.v4.to_string(), view.v6.to_string()],
                restarts: view.restarts,
            }
        });
        NodeStatus {
            version: status.version,
            zone: status.zone,
            uptime: status.uptime,
            parts: parts.collect(),
            applications: applications.collect(),
        }
    }

    fn clock(&self) -> edged_mec::Clock {
        crate::clock::now()
    }

    async fn confirm_ready(&self, instance: InstanceId) -> Result<(), Problem> {
        if let Some(edged_mec::Application::Registered(known)) =
            self.picture().applications.get(&instance)
        {
            // It runs elsewhere: there is nothing here that its word could open.
            return if known.running {
                Ok(())
            } else {
                Err(Problem::conflict("the application instance does not run"))
            };
        }
        self.wish(|reply| Wish::Confirm { instance, reply }).await
    }

    async fn register(&self, registration: Registration) -> Result<(), Problem> {
        self.claim(Claim::Register(Box::new(registration))).await
    }

    async fn deregister(&self, id: InstanceId) -> Result<(), Problem> {
        if let Some(edged_mec::Application::Registered(_)) = self.picture().applications.get(&id) {
            let picture = self.picture();
            for service in picture
                .services
                .iter()
                .filter(|service| service.instance == id)
            {
                self.remove_service(service.id.clone()).await?;
            }
        }
        self.claim(Claim::Deregister(id)).await
    }

    async fn put_service(&self, service: RegisteredService) -> Result<(), Problem> {
        let id = service.id.clone();
        self.wish(|reply| Wish::PutService {
            service: Box::new(service.clone()),
            reply,
        })
        .await?;
        self.seen(|picture| {
            let mut known = picture.services.iter();
            known.any(|known| known.id == id && known.info == service.info)
                || !picture.applications.contains_key(&service.instance)
        })
        .await?;
        // Its application may have gone, and the service with it, before anybody was shown it.
        let picture = self.picture();
        if picture.services.iter().any(|known| known.id == id) {
            return Ok(());
        }
        Err(Problem::not_found(format!(
            "there is no application instance {}",
            service.instance
        )))
    }

    async fn remove_service(&self, id: String) -> Result<(), Problem> {
        self.wish(|reply| Wish::RemoveService {
            id: id.clone(),
            reply,
        })
        .await?;
        self.seen(|picture| picture.services.iter().all(|known| known.id != id))
            .await
    }

    fn feasible(&self, rule: &TrafficRule) -> Result<(), Problem> {
        let abilities = self.now().guardian.ok_or_else(guardian_away)?;
        edged_net::feasible(rule, &abilities)
            .map_err(|reason| Problem::unprocessable(reason.to_string()))
    }

    async fn set_rules(&self, owner: InstanceId, rules: Rules) -> Result<(), Problem> {
        self.claim(Claim::Rules(owner, rules)).await
    }

    async fn put_allocation(&self, allocation: Allocated) -> Result<(), Problem> {
        self.fits(&allocation)?;
        self.claim(Claim::Allocate(Box::new(allocation))).await
    }

    async fn remove_allocation(&self, id: AllocationId) -> Result<(), Problem> {
        self.claim(Claim::Release(id)).await
    }

    async fn deploy(&self, deployment: Deployment) -> Result<(), Problem> {
        let Deployment { id, spec, rules } = deployment;
        // The package's signer was asked by whoever has the package.
        let image = self.means.images.admitted(&spec.image).await;
        let image = image.map_err(|error| of_image(&error))?;
        // Until the picture has the instance.
        let _held = self.means.images.hold(&image);
        self.wish(|reply| Wish::Deploy {
            spec: Box::new(spec),
            image: Box::new(image),
            id: Some(id.clone()),
            rules: Box::new(rules),
            reply,
        })
        .await?;
        self.seen(|picture| picture.applications.contains_key(&id))
            .await
    }

    async fn change(
        &self,
        instance: InstanceId,
        goal: Goal,
        grace_ms: Option<u32>,
    ) -> Result<(), Problem> {
        self.wish(|reply| Wish::Change {
            which: Which::Id(instance),
            goal,
            force: true,
            grace_ms,
            reply,
        })
        .await
    }

    fn has_image(&self, reference: &ImageReference) -> bool {
        self.means.images.resolve(reference).is_some()
    }

    async fn load_image(&self, archive: PathBuf, name: ImageReference) -> Result<(), Problem> {
        let file = tokio::fs::File::open(&archive).await.map_err(|error| {
            tracing::error!(%error, path = %archive.display(), "an image archive cannot be read");
            Problem::unavailable("the package's image cannot be read; upload the package again")
        })?;
        let loaded = edged_image::load_as(&self.means.images, file, &name).await;
        self.tidy(loaded.as_ref().err());
        loaded.map(drop).map_err(|error| of_image(&error))
    }

    async fn forget_image(&self, reference: ImageReference) -> Result<(), Problem> {
        let forgotten = door::forget_image(&self.means, &self.mailbox, &self.reader, &reference);
        forgotten
            .await
            .map_err(|error| Problem::unavailable(error.to_string()))
    }

    async fn pull_image(&self, reference: ImageReference) -> Result<(), Problem> {
        let pulled = self.puller.pull(&reference, &|_| {}).await;
        self.tidy(pulled.as_ref().err());
        pulled.map(drop).map_err(|error| of_image(&error))
    }
}

fn guardian_away() -> Problem {
    Problem::unavailable("edged-guardian is not running; try again in a moment")
}

fn ending() -> Problem {
    Problem::unavailable("the platform is ending; try again in a moment")
}

fn of_image(error: &ImageError) -> Problem {
    Problem::unprocessable(error.to_string())
}

fn problem(denied: &Denied) -> Problem {
    let text = denied.to_string();
    match denied {
        Denied::Unknown(_) | Denied::UnknownId(_) => Problem::not_found(text),
        Denied::Invalid(_) => Problem::bad_request(text),
        Denied::Kernel(_) => Problem::unprocessable(text),
        Denied::NameTaken(_)
        | Denied::Full(_)
        | Denied::Runs(_)
        | Denied::Going(_)
        | Denied::NotRunning(_) => Problem::conflict(text),
        Denied::Away(_) => Problem::unavailable(text),
        Denied::Store(_) => {
            tracing::error!(%text, "state was not kept");
            Problem::unavailable("the node's state cannot be written; try again later")
        }
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

/// The TPM's refusals as HTTP has them.
fn refused(error: &PlatformError) -> Problem {
    match error.kind {
        ErrorKind::Conflict => Problem::conflict(error.to_string()),
        ErrorKind::Unavailable => Problem::unavailable(error.to_string()),
        _ => Problem::internal(error.to_string()),
    }
}
