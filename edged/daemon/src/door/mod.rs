//! The operator's verbs, carried out: [`edged_console::Platform`] over the reconciler, the images and the worker.

mod error;
mod exec;
mod image_trust;
mod images;
mod logs;
mod packages;
mod rules;
mod services;
mod stats;
mod views;

pub use images::{forget as forget_image, tidy_after};
pub use views::{instance as instance_view, status as status_view};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use edged_console::{
    AccessView, AddKeyArgs, BundleSource, CommissionView, DnsRuleView, End, ErrorKind, ExecEvent,
    Finding, ImageKeyView, ImageView, InstanceDetail, InstanceView, IssueArgs, KeyView, LogLine,
    LogQuery, PackageDetail, PackageView, Platform, PlatformError, Progress, RegistersView,
    RulePlace, ServiceView, SignerView, StatsView, StatusView, TrafficRuleView, UpdateView,
};
use edged_image::{Image, Origin, Puller};
use edged_mec::Mec;
use edged_mec::package_management::PackageManagement;
use edged_model::{
    AppName, AppSpec, ContainerState, Goal, ImageReference, InstanceState, SiteName,
};
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::machine::Machine;
use crate::reconcile::{Denied, Mailbox, Means, Message, Which, Wish};
use crate::registry::Registry;
use crate::snapshot::{InstanceStatus, Reader, Snapshot};
use crate::trust::{self, Trust};
use crate::update::Updates;

/// Longest wait for the first picture of a new application: the reconciler shows one each turn, and a turn is short.
const SHOWN: Duration = Duration::from_secs(5);

/// The platform as the console sees it.
#[derive(Debug, Clone)]
pub struct Door {
    means: Means,
    machine: Machine,
    trust: Trust,
    updates: Updates,
    puller: Arc<Puller>,
    mailbox: Mailbox,
    reader: Reader,
    mec: Arc<Mec<Registry>>,
    packages: PackageManagement<Registry>,
    since: Instant,
}

impl Door {
    /// A door to the node.
    pub fn new(
        means: Means,
        (machine, trust, updates): (Machine, Trust, Updates),
        puller: Arc<Puller>,
        mailbox: Mailbox,
        reader: Reader,
        mec: Arc<Mec<Registry>>,
    ) -> Self {
        Self {
            means,
            machine,
            trust,
            updates,
            puller,
            mailbox,
            reader,
            packages: PackageManagement::new(Arc::clone(&mec)),
            mec,
            since: Instant::now(),
        }
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.reader.borrow())
    }

    fn status_of(&self, name: &AppName) -> Result<InstanceStatus, PlatformError> {
        self.now()
            .instances
            .get(name)
            .cloned()
            .ok_or_else(|| Denied::Unknown(name.clone()).into())
    }

    /// Sends a wish and waits for its answer.
    async fn wish<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Denied>>) -> Wish,
    ) -> Result<T, PlatformError> {
        let (reply, answer) = oneshot::channel();
        let ending = || {
            PlatformError::new(
                ErrorKind::Unavailable,
                "edged is ending; try again in a moment",
            )
        };
        self.mailbox
            .send(Message::Wish(make(reply)))
            .await
            .map_err(|_| ending())?;
        Ok(answer.await.map_err(|_| ending())??)
    }

    /// Waits until the picture satisfies `done`.
    async fn until<T>(
        &self,
        mut done: impl FnMut(&Snapshot) -> Option<T>,
    ) -> Result<T, PlatformError> {
        let mut reader = self.reader.clone();
        loop {
            if let Some(value) = done(&reader.borrow_and_update()) {
                return Ok(value);
            }
            if reader.changed().await.is_err() {
                return Err(PlatformError::new(
                    ErrorKind::Unavailable,
                    "edged is ending; try again in a moment",
                ));
            }
        }
    }

    async fn change(
        &self,
        name: &AppName,
        goal: Goal,
        force: bool,
        grace: Option<Duration>,
    ) -> Result<(), PlatformError> {
        let grace_ms = grace.map(|grace| u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
        let name = name.clone();
        self.wish(|reply| Wish::Change {
            which: Which::Name(name),
            goal,
            force,
            grace_ms,
            reply,
        })
        .await
    }

    fn view(&self, status: &InstanceStatus) -> InstanceView {
        views::instance(status, &self.means)
    }

    /// The image of a new instance, which the policy and the keys of now take: also where it is here, and also where a
    /// key went while it was fetched.
    async fn image_for(
        &self,
        reference: &ImageReference,
        progress: &Progress,
    ) -> Result<Image, PlatformError> {
        let images = &self.means.images;
        if images.resolve(reference).is_none() {
            self.fetch(reference, progress).await?;
        }
        if images.origin(reference) == Some(Origin::Package) {
            self.vouched(reference)?;
        }
        let image = images.admitted(reference).await;
        image.map_err(|error| error::image(&error))
    }
}

impl Platform for Door {
    async fn run(
        &self,
        spec: AppSpec,
        wait: Option<Duration>,
        progress: Progress,
    ) -> Result<InstanceView, PlatformError> {
        // Before a long pull, so that a taken name costs nothing.
        if self.now().instances.contains_key(&spec.name) {
            return Err(Denied::NameTaken(spec.name).into());
        }
        let image = self.image_for(&spec.image, &progress).await?;
        // Until the picture has the instance, a name that moves on would take its blobs away.
        let held = self.means.images.hold(&image);
        let name = spec.name.clone();
        let id = self
            .wish(|reply| Wish::Deploy {
                spec: Box::new(spec),
                image: Box::new(image),
                id: None,
                rules: Box::default(),
                reply,
            })
            .await?;
        // Whoever removed it at once may have been faster than the first picture of it.
        let shown = self.until(|now| now.by_id(&id).cloned());
        let Ok(accepted) = tokio::time::timeout(SHOWN, shown).await else {
            return Err(error::taken_back(&name));
        };
        let accepted = accepted?;
        drop(held);
        let Some(wait) = wait else {
            return Ok(self.view(&accepted));
        };
        let settled = self.until(|now| {
            let wanted = |status: &&InstanceStatus| status.instance.goal == Goal::Running;
            let Some(status) = now.by_id(&id).filter(wanted) else {
                return Some(None);
            };
            progress.say(format!("{name} is {}", status.state));
            let over = matches!(
                status.state,
                InstanceState::Ready | InstanceState::Ended { .. } | InstanceState::BackOff { .. }
            );
            over.then(|| Some(status.clone()))
        });
        let status = match tokio::time::timeout(wait, settled).await {
            Ok(status) => status?.ok_or_else(|| error::taken_back(&name))?,
            Err(_) => self.status_of(&name)?,
        };
        match &status.state {
            InstanceState::BackOff { reason, .. } => Err(error::not_ready(&name, reason)),
            _ => Ok(self.view(&status)),
        }
    }

    async fn list(&self) -> Result<Vec<InstanceView>, PlatformError> {
        Ok(self
            .now()
            .instances
            .values()
            .map(|status| self.view(status))
            .collect())
    }

    async fn inspect(&self, name: &AppName) -> Result<InstanceDetail, PlatformError> {
        let status = self.status_of(name)?;
        let pid = match status.container {
            ContainerState::Running { pid, .. } => Some(pid),
            _ => None,
        };
        Ok(InstanceDetail {
            view: self.view(&status),
            spec: status.instance.spec.clone(),
            pinned: status.instance.image.clone(),
            pid,
            last_exit: status.last_exit,
        })
    }

    async fn logs(
        &self,
        name: &AppName,
        query: LogQuery,
    ) -> Result<mpsc::Receiver<LogLine>, PlatformError> {
        let id = self.status_of(name)?.instance.id.clone();
        logs::read(self.means.worker.clone(), id, query, self.reader.clone()).await
    }

    async fn exec(
        &self,
        name: &AppName,
        command: Vec<String>,
        input: Option<mpsc::Receiver<bytes::Bytes>>,
    ) -> Result<mpsc::Receiver<ExecEvent>, PlatformError> {
        let status = self.status_of(name)?;
        if !matches!(status.container, ContainerState::Running { .. }) {
            let message = format!("{name} does not run ({})", status.state);
            return Err(PlatformError::new(ErrorKind::Conflict, message)
                .with_hint(format!("start it with `start {name}`")));
        }
        exec::start(
            self.means.worker.clone(),
            status.instance.id.clone(),
            command,
            input,
        )
        .await
    }

    async fn images(&self) -> Result<Vec<ImageView>, PlatformError> {
        self.image_views().await
    }

    async fn pull(
        &self,
        image: ImageReference,
        progress: Progress,
    ) -> Result<ImageView, PlatformError> {
        let image = self.fetch(&image, &progress).await?;
        Ok(self.image_view(&image))
    }

    async fn load(
        &self,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<Vec<ImageView>, PlatformError> {
        self.take_archive(input, progress).await
    }

    async fn remove_image(&self, image: &ImageReference) -> Result<(), PlatformError> {
        self.forget_image(image).await
    }

    async fn remove(&self, name: &AppName, force: bool) -> Result<(), PlatformError> {
        let id = self.status_of(name)?.instance.id.clone();
        self.change(name, Goal::Removed, force, force.then_some(Duration::ZERO))
            .await?;
        let failed = self
            .until(|now| match now.by_id(&id) {
                None => Some(None),
                Some(status) => match &status.state {
                    // An older picture may still show the pause of an earlier failure.
                    InstanceState::BackOff { reason, .. }
                        if status.instance.goal == Goal::Removed =>
                    {
                        Some(Some(reason.clone()))
                    }
                    _ => None,
                },
            })
            .await?;
        failed.map_or(Ok(()), |reason| Err(error::not_removed(name, &reason)))
    }

    async fn stop(&self, name: &AppName, grace: Option<Duration>) -> Result<(), PlatformError> {
        let id = self.status_of(name)?.instance.id.clone();
        self.change(name, Goal::Stopped, true, grace).await?;
        self.until(|now| match now.by_id(&id) {
            None => Some(()),
            Some(status) => (status.state == InstanceState::Stopped).then_some(()),
        })
        .await
    }

    async fn start(&self, name: &AppName) -> Result<(), PlatformError> {
        self.change(name, Goal::Running, true, None).await
    }

    async fn install_package(
        &self,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<PackageView, PlatformError> {
        self.take_package(input, progress).await
    }

    async fn packages(&self) -> Result<Vec<PackageView>, PlatformError> {
        Ok(self.package_views())
    }

    async fn package(&self, package: &str) -> Result<PackageDetail, PlatformError> {
        self.package_detail(package)
    }

    async fn enable_package(&self, package: &str, enabled: bool) -> Result<(), PlatformError> {
        self.switch_package(package, enabled)
    }

    async fn remove_package(&self, package: &str) -> Result<(), PlatformError> {
        self.delete_package(package).await
    }

    async fn signers(&self) -> Result<Vec<SignerView>, PlatformError> {
        self.signer_views()
    }

    async fn trust_signer(
        &self,
        name: &str,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<SignerView, PlatformError> {
        self.add_signer(name, input).await
    }

    async fn distrust_signer(&self, name: &str) -> Result<(), PlatformError> {
        self.drop_signer(name)
    }

    async fn image_keys(&self) -> Result<Vec<ImageKeyView>, PlatformError> {
        Ok(self.image_key_views())
    }

    async fn trust_image_key(
        &self,
        key: &AddKeyArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<ImageKeyView, PlatformError> {
        self.add_image_key(key, input).await
    }

    async fn distrust_image_key(&self, name: &str) -> Result<(), PlatformError> {
        self.drop_image_key(name)
    }

    async fn certify_operator(
        &self,
        key: &IssueArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<String, PlatformError> {
        self.certificate_of(key, input).await
    }

    async fn known_hosts_line(&self, addresses: &[IpAddr]) -> Result<String, PlatformError> {
        self.trust.known_hosts_line(addresses).await
    }

    async fn image_policy(&self) -> Result<Value, PlatformError> {
        self.image_policy_view()
    }

    async fn set_image_policy(
        &self,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<Value, PlatformError> {
        self.replace_image_policy(input).await
    }

    async fn services(&self) -> Result<Vec<ServiceView>, PlatformError> {
        Ok(self.service_views())
    }

    async fn service(&self, service: &str) -> Result<Value, PlatformError> {
        self.service_detail(service)
    }

    async fn remove_service(&self, id: &str) -> Result<(), PlatformError> {
        self.withdraw(id).await
    }

    async fn traffic_rules(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<TrafficRuleView>, PlatformError> {
        self.traffic_views(application)
    }

    async fn dns_rules(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<DnsRuleView>, PlatformError> {
        self.dns_views(application)
    }

    async fn rule(&self, place: &RulePlace) -> Result<Value, PlatformError> {
        self.rule_detail(place)
    }

    async fn replace_rule(&self, place: &RulePlace, json: &[u8]) -> Result<Value, PlatformError> {
        self.replace(place, json).await
    }

    async fn switch_rule(&self, place: &RulePlace, active: bool) -> Result<(), PlatformError> {
        self.switch(place, active).await
    }

    async fn stats(&self, names: &[AppName]) -> Result<Vec<StatsView>, PlatformError> {
        self.stats_of(names).await
    }

    async fn status(&self) -> Result<StatusView, PlatformError> {
        let mut status = views::status(&self.now(), &self.means, self.since.elapsed());
        status.build = self.machine.build();
        status.commissioned = self.machine.is_commissioned();
        Ok(status)
    }

    async fn commission(
        &self,
        site: Option<SiteName>,
        keys: &str,
    ) -> Result<CommissionView, PlatformError> {
        self.machine.commission(site, keys)
    }

    async fn commissioned(&self) -> Result<(), PlatformError> {
        self.machine.commissioned()
    }

    async fn access(&self, lifetime: u64) -> Result<AccessView, PlatformError> {
        let (machine, trust) = (self.machine.clone(), self.trust.clone());
        let work = tokio::task::spawn_blocking(move || machine.access(lifetime, &trust));
        work.await
            .map_err(|error| PlatformError::new(ErrorKind::Internal, error.to_string()))?
    }

    async fn trust_status(&self) -> Result<Vec<Finding>, PlatformError> {
        let unvouched = self.packages.unvouched();
        let unvouched = unvouched.map_err(|problem| error::problem(&problem))?;
        self.trust
            .status(&self.means.images, &self.now(), unvouched)
            .await
    }

    async fn identity(&self) -> Result<Value, PlatformError> {
        trust::shown(&self.trust.identity().await?)
    }

    async fn activate(&self, credential: &str) -> Result<Value, PlatformError> {
        trust::shown(&self.trust.activate(credential).await?)
    }

    async fn attest(&self, nonce: &[u8], plain: bool) -> Result<Value, PlatformError> {
        trust::shown(&self.trust.attest(nonce, plain, None).await?)
    }

    async fn keys(&self) -> Result<Vec<KeyView>, PlatformError> {
        self.trust.keys().await
    }

    async fn registers(&self) -> Result<RegistersView, PlatformError> {
        self.machine.registers()
    }

    async fn event_log(&self) -> Result<Vec<u8>, PlatformError> {
        self.machine.event_log()
    }

    async fn update_status(&self) -> Result<UpdateView, PlatformError> {
        Ok(self.updates.status())
    }

    async fn install_update(
        &self,
        source: BundleSource,
        no_way_back: bool,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<UpdateView, PlatformError> {
        self.updates
            .install(source, no_way_back, input, &progress)
            .await
    }

    async fn confirm_update(&self) -> Result<UpdateView, PlatformError> {
        self.updates.confirm().await
    }

    async fn roll_back_update(&self) -> Result<UpdateView, PlatformError> {
        self.updates.roll_back().await
    }

    async fn end(&self, end: End) -> Result<(), PlatformError> {
        self.machine.end(end)
    }
}
