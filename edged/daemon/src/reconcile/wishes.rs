//! Messages taken: the world's news, and wishes, which are checked, made durable, and only then answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use edged_image::Image;
use edged_mec::RegisteredService;
use edged_model::{
    Action, AppInstance, AppName, AppSpec, ContainerState, ExitCode, Goal, InstanceId, LeaseNumber,
    PinnedImage, Rules,
};
use edged_store::{Credentials, Store, StoreError, StoredService};

use super::message::{Denied, Verdict, Which};
use super::tracked::{Confirmed, Tracked};
use super::{Message, Reconciler, Wish};
use crate::fault::{self, Moment};
use crate::random;

/// Services that applications registered; one whose document is not understood is left out.
pub(super) fn stored_services(store: &Store) -> Result<Vec<Arc<RegisteredService>>, StoreError> {
    let parse = |stored: StoredService| {
        let info = serde_json::from_str(&stored.document);
        let info = info.inspect_err(|error| {
            tracing::warn!(service = stored.id, %error, "a service cannot be read");
        });
        Some(Arc::new(RegisteredService {
            info: info.ok()?,
            id: stored.id,
            instance: stored.instance,
        }))
    };
    Ok(store.services()?.into_iter().filter_map(parse).collect())
}

/// The runs that applications said to be ready, given back to their instances.
pub(super) fn stored_confirmations(
    store: &Store,
    instances: &mut BTreeMap<InstanceId, Tracked>,
) -> Result<(), StoreError> {
    for confirmed in store.records::<Confirmed>()? {
        if let Some(tracked) = instances.get_mut(&confirmed.instance) {
            tracked.confirmed = Some(confirmed);
        }
    }
    Ok(())
}

impl Reconciler {
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::WorkerUp(seen) => {
                self.world.worker = Some(seen);
                for (id, tracked) in &mut self.instances {
                    tracked.saw(self.world.container(id));
                }
                self.drop_orphan_containers();
                self.forgive();
            }
            Message::WorkerDown => self.world.worker = None,
            Message::Exited { instance, code } => self.exited(&instance, code),
            Message::GuardianUp(seen) => {
                self.world.guardian = Some(seen);
                self.drop_orphan_links();
                self.forgive();
            }
            Message::GuardianDown => {
                self.world.guardian = None;
                self.settled = false;
            }
            Message::BrokerUp(accounts) => {
                self.world.broker = Some(accounts);
                self.drop_orphan_accounts();
                self.forgive();
            }
            Message::BrokerDown(reason) => {
                self.world.broker = None;
                self.world.broker_away = reason;
            }
            Message::Probed {
                instance,
                pid,
                verdict,
            } => self.probed(&instance, pid, verdict),
            Message::LayerGone(layer) => self.world.drop_layer(&layer),
            Message::Pulse => {}
            Message::Wish(wish) => self.grant(wish),
        }
    }

    /// What failed for want of a part that is back is tried again at once.
    fn forgive(&mut self) {
        for tracked in self.instances.values_mut() {
            if !matches!(
                self.world.container(&tracked.instance.id),
                ContainerState::Exited { .. }
            ) {
                tracked.retry.reset();
            }
        }
    }

    fn exited(&mut self, id: &InstanceId, code: ExitCode) {
        // An orphan's end is awaited by whoever removes it.
        let Some(tracked) = self.instances.get_mut(id) else {
            return;
        };
        if tracked.busy {
            tracked.ended_meanwhile = Some(code);
        }
        // One that is deleted already says its last word late.
        if self.world.container(id) != ContainerState::Absent {
            let container = ContainerState::Exited { code };
            self.world.set_container(id, container);
            tracked.saw(container);
        }
    }

    fn probed(&mut self, id: &InstanceId, pid: u32, verdict: Verdict) {
        let Some(tracked) = self.instances.get_mut(id) else {
            return;
        };
        if tracked
            .probes
            .as_ref()
            .is_none_or(|(probed, _)| *probed != pid)
        {
            return;
        }
        match verdict {
            Verdict::Ready => tracked.probed_ready = true,
            Verdict::Unready => tracked.probed_ready = false,
            Verdict::Dead => {
                tracing::warn!(app = %tracked.instance.spec.name, "the liveness probe failed; started again");
                tracked.stop_probes();
                // Its end is answered by the restart policy. An action under way goes first: the probes, begun anew
                // after it, will say it again.
                if !tracked.busy {
                    self.start(id, Action::StopContainer);
                }
            }
        }
    }

    fn grant(&mut self, wish: Wish) {
        // Whoever asked may have gone; the wish counts all the same.
        match wish {
            Wish::Deploy {
                spec,
                image,
                id,
                rules,
                reply,
            } => drop(reply.send(self.deploy(*spec, &image, id, *rules))),
            Wish::Change {
                which,
                goal,
                force,
                grace_ms,
                reply,
            } => {
                let named = self.resolve(which);
                let done = named.and_then(|id| self.change(&id, goal, force, grace_ms));
                drop(reply.send(done));
            }
            Wish::Claim { claim, reply } => self.claim(claim, reply),
            Wish::Confirm { instance, reply } => drop(reply.send(self.confirm(&instance))),
            Wish::PutService { service, reply } => drop(reply.send(self.put_service(*service))),
            Wish::RemoveService { id, reply } => drop(reply.send(self.remove_service(&id))),
        }
    }

    /// The id of an application that is here.
    fn resolve(&self, which: Which) -> Result<InstanceId, Denied> {
        match which {
            Which::Id(id) if self.instances.contains_key(&id) => Ok(id),
            Which::Id(id) => Err(Denied::UnknownId(id)),
            Which::Name(name) => self.find(&name).ok_or(Denied::Unknown(name)),
        }
    }

    fn deploy(
        &mut self,
        spec: AppSpec,
        image: &Image,
        id: Option<InstanceId>,
        rules: Rules,
    ) -> Result<InstanceId, Denied> {
        let id = id.unwrap_or_else(InstanceId::random);
        if self.instances.contains_key(&id) || self.find(&spec.name).is_some() {
            return Err(Denied::NameTaken(spec.name));
        }
        let others: Vec<&AppInstance> = self
            .instances
            .values()
            .map(|tracked| tracked.instance.as_ref())
            .collect();
        let problems = edged_net::validate(&spec, others.iter().copied(), &self.means.config);
        if let Some(problem) = problems.first() {
            return Err(Denied::Invalid(problem.to_string()));
        }
        if let Some(through) = self.cycle(&spec) {
            let name = &spec.name;
            return Err(Denied::Invalid(format!(
                "{name} would wait for itself through {through}; leave one of the two --depends-on out"
            )));
        }
        if !rules.is_empty() {
            self.judge(&id, &rules)?;
        }
        let taken: BTreeSet<LeaseNumber> = others.iter().map(|other| other.lease).collect();
        let places = self.means.addressing.places();
        let lease = LeaseNumber::lowest_free(&taken, places).ok_or(Denied::Full(places))?;
        let secret = || {
            random::secret()
                .ok_or_else(|| Denied::Store("the kernel gives no randomness".to_owned()))
        };
        let credentials = Credentials {
            mqtt_password: secret()?,
            client_secret: secret()?,
        };
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        let instance = AppInstance {
            id,
            spec,
            image: PinnedImage {
                manifest: image.manifest.clone(),
                layers: image
                    .layers
                    .iter()
                    .map(|layer| layer.diff_id.clone())
                    .collect(),
            },
            goal: Goal::Running,
            lease,
            rules,
            created,
        };
        fault::pass(Moment::Before, fault::KEEP);
        self.store
            .insert(&instance, &credentials)
            .map_err(|error| Denied::Store(error.to_string()))?;
        fault::pass(Moment::After, fault::KEEP);
        let id = instance.id.clone();
        let mut tracked = Tracked::new(instance, credentials);
        // It enters the firewall by its own action, in its turn.
        tracked.allowed = false;
        self.instances.insert(id.clone(), tracked);
        Ok(id)
    }

    fn change(
        &mut self,
        id: &InstanceId,
        goal: Goal,
        force: bool,
        grace_ms: Option<u32>,
    ) -> Result<(), Denied> {
        let container = self.world.container(id);
        let Some(tracked) = self.instances.get_mut(id) else {
            return Err(Denied::UnknownId(id.clone()));
        };
        let name = &tracked.instance.spec.name;
        if tracked.instance.goal == Goal::Removed && goal != Goal::Removed {
            return Err(Denied::Going(name.clone()));
        }
        // Without the worker nobody knows, and what may run is not removed unforced.
        let may_run = self.world.worker.is_none() && tracked.instance.goal == Goal::Running;
        let runs = may_run || matches!(container, ContainerState::Running { .. });
        if goal == Goal::Removed && !force && runs {
            return Err(Denied::Runs(name.clone()));
        }
        fault::pass(Moment::Before, fault::KEEP);
        self.store
            .set_goal(id, goal)
            .map_err(|error| Denied::Store(error.to_string()))?;
        fault::pass(Moment::After, fault::KEEP);
        tracked.want(goal, grace_ms, container);
        Ok(())
    }

    fn find(&self, name: &AppName) -> Option<InstanceId> {
        self.instances
            .values()
            .find(|tracked| tracked.instance.spec.name == *name)
            .map(|it| it.instance.id.clone())
    }

    /// The application through which a new one would wait for itself, if there is one.
    fn cycle(&self, spec: &AppSpec) -> Option<AppName> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<AppName> = spec.depends_on.clone();
        while let Some(name) = next.pop() {
            if name == spec.name {
                return Some(name);
            }
            let known = self
                .instances
                .values()
                .find(|known| known.instance.spec.name == name);
            let needs = known
                .map(|known| known.instance.spec.depends_on.as_slice())
                .unwrap_or_default();
            if needs.contains(&spec.name) {
                return Some(name);
            }
            if seen.insert(name) {
                next.extend_from_slice(needs);
            }
        }
        None
    }

    fn put_service(&mut self, service: RegisteredService) -> Result<(), Denied> {
        let owner = &service.instance;
        if !self.instances.contains_key(owner) && !self.registrations.contains_key(owner) {
            return Err(Denied::UnknownId(owner.clone()));
        }
        let document = serde_json::to_string(&service.info)
            .map_err(|error| Denied::Invalid(error.to_string()))?;
        let stored = StoredService {
            id: service.id.clone(),
            instance: service.instance.clone(),
            document,
        };
        self.store
            .put_service(&stored)
            .map_err(|error| Denied::Store(error.to_string()))?;
        self.announcer.tell_service(&service);
        let service = Arc::new(service);
        match self
            .services
            .iter_mut()
            .find(|known| known.id == service.id)
        {
            Some(known) => *known = service,
            None => self.services.push(service),
        }
        self.publish();
        Ok(())
    }

    fn remove_service(&mut self, id: &str) -> Result<(), Denied> {
        self.store
            .remove_service(id)
            .map_err(|error| Denied::Store(error.to_string()))?;
        self.services.retain(|known| known.id != id);
        self.announcer.clear_service(id);
        self.publish();
        Ok(())
    }
}
