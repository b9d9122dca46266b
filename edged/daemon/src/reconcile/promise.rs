//! Wishes that are answered only when the kernel and the resolver have them: rules, registrations and bandwidth.
//!
//! The wish is checked, made durable, and put into the desired policy; its promise waits until the guardian has said
//! that exactly this policy is in force. When the kernel refuses, every promise that waits is undone, newest first, and
//! told why: nothing of it is left.

use std::sync::Arc;

use edged_mec::{Allocated, Registration};
use edged_model::{AllocationId, AppInstance, ContainerState, InstanceId, Rules};
use edged_protocol::guardian::{Abilities, Policy, Shape};
use edged_store::StoreError;

use super::Reconciler;
use super::message::{Claim, Denied, Reply};
use super::tracked::Confirmed;
use crate::link::Failure;

/// A wish that waits for the kernel.
#[derive(Debug)]
pub struct Promise {
    undo: Undo,
    reply: Reply<()>,
}

/// How things were before a wish.
#[derive(Debug)]
enum Undo {
    Rules(InstanceId, Rules),
    Registration(InstanceId, Option<Arc<Registration>>),
    Allocation(AllocationId, Option<Arc<Allocated>>),
}

fn unkept(error: &StoreError) -> Denied {
    Denied::Store(error.to_string())
}

impl Reconciler {
    /// Takes a claim on the box's network.
    pub(super) fn claim(&mut self, claim: Claim, reply: Reply<()>) {
        if self.world.guardian.is_none() {
            return drop(reply.send(Err(Denied::Away("edged-guardian"))));
        }
        if let Claim::Rules(owner, rules) = &claim
            && let Err(denied) = self.judge(owner, rules)
        {
            return drop(reply.send(Err(denied)));
        }
        match self.enter(claim) {
            Err(denied) => drop(reply.send(Err(denied))),
            Ok(undo) => {
                if let Err(error) = self.try_publish() {
                    self.undo(undo);
                    return drop(reply.send(Err(Denied::Invalid(error))));
                }
                self.policy_retry.reset();
                self.promises.push(Promise { undo, reply });
            }
        }
    }

    /// Whether the box can keep these rules beside everybody else's.
    pub(super) fn judge(&self, owner: &InstanceId, rules: &Rules) -> Result<(), Denied> {
        if let Some(error) = rules
            .dns
            .iter()
            .find_map(|rule| self.announcer.check(rule).err())
        {
            return Err(Denied::Invalid(error));
        }
        let infeasible = |error: edged_net::Infeasible| Denied::Kernel(error.to_string());
        let abilities = self.abilities();
        // One that the box cannot keep may wait, inactive, for a box that can.
        let active = || rules.traffic.iter().filter(|rule| rule.active);
        for rule in active() {
            edged_net::feasible(rule, &abilities).map_err(infeasible)?;
        }
        let policy = self.policy();
        let others = policy.rules.iter().filter(|owned| owned.owner != *owner);
        edged_net::room(active(), others.map(|owned| &owned.rule)).map_err(infeasible)
    }

    fn abilities(&self) -> Abilities {
        let guardian = self.world.guardian.as_ref();
        guardian.map(|seen| seen.abilities).unwrap_or_default()
    }

    /// Makes a claim durable and part of what is wanted.
    fn enter(&mut self, claim: Claim) -> Result<Undo, Denied> {
        match claim {
            Claim::Rules(owner, rules) => self
                .swap_rules(&owner, rules)
                .map(|old| Undo::Rules(owner, old)),
            Claim::Register(new) => {
                let old = self.registrations.get(&new.id).cloned();
                let id = new.id.clone();
                self.put_registration(&id, Some(Arc::new(*new)))?;
                Ok(Undo::Registration(id, old))
            }
            Claim::Deregister(id) => {
                let old = self.registrations.get(&id).cloned();
                if old.is_none() {
                    return Err(Denied::UnknownId(id));
                }
                self.put_registration(&id, None)?;
                Ok(Undo::Registration(id, old))
            }
            Claim::Allocate(allocated) => {
                let owner = &allocated.allocation.instance;
                if !self.instances.contains_key(owner) {
                    return Err(Denied::UnknownId(owner.clone()));
                }
                let id = allocated.allocation.id.clone();
                let old = self.put_allocation(&id, Some(Arc::new(*allocated)))?;
                Ok(Undo::Allocation(id, old))
            }
            Claim::Release(id) => {
                let old = self.put_allocation(&id, None)?;
                Ok(Undo::Allocation(id, old))
            }
        }
    }

    /// Puts rules in the place of an application's; the old ones.
    fn swap_rules(&mut self, owner: &InstanceId, rules: Rules) -> Result<Rules, Denied> {
        if let Some(tracked) = self.instances.get_mut(owner) {
            let mut instance = AppInstance::clone(&tracked.instance);
            let old = std::mem::replace(&mut instance.rules, rules);
            self.store
                .update(&instance)
                .map_err(|error| unkept(&error))?;
            tracked.instance = Arc::new(instance);
            return Ok(old);
        }
        let Some(registration) = self.registrations.get(owner) else {
            return Err(Denied::UnknownId(owner.clone()));
        };
        let mut registration = Registration::clone(registration);
        let old = std::mem::replace(&mut registration.rules, rules);
        self.put_registration(owner, Some(Arc::new(registration)))?;
        Ok(old)
    }

    fn put_registration(
        &mut self,
        id: &InstanceId,
        registration: Option<Arc<Registration>>,
    ) -> Result<(), Denied> {
        let kept = match &registration {
            Some(registration) => self.store.put_record(registration.as_ref()),
            None => self
                .store
                .remove_record::<Registration>(id.as_str())
                .map(drop),
        };
        kept.map_err(|error| unkept(&error))?;
        if let Some(registration) = registration {
            self.registrations.insert(id.clone(), registration);
        } else {
            self.registrations.remove(id);
        }
        Ok(())
    }

    fn put_allocation(
        &mut self,
        id: &AllocationId,
        allocation: Option<Arc<Allocated>>,
    ) -> Result<Option<Arc<Allocated>>, Denied> {
        match &allocation {
            Some(allocation) => self.store.put_record(allocation.as_ref()),
            None => self
                .store
                .remove_record::<Allocated>(id.0.as_str())
                .map(drop),
        }
        .map_err(|error| unkept(&error))?;
        let mut known = self.allocations.iter();
        let place = known.position(|known| known.allocation.id == *id);
        Ok(match (place, allocation) {
            (Some(at), Some(new)) => self
                .allocations
                .get_mut(at)
                .map(|known| std::mem::replace(known, new)),
            (Some(at), None) => Some(self.allocations.remove(at)),
            (None, Some(new)) => {
                self.allocations.push(new);
                None
            }
            (None, None) => None,
        })
    }

    fn undo(&mut self, undo: Undo) {
        let undone = match undo {
            Undo::Rules(owner, old) => self.swap_rules(&owner, old).map(drop),
            Undo::Registration(id, old) => self.put_registration(&id, old),
            Undo::Allocation(id, old) => self.put_allocation(&id, old).map(drop),
        };
        if let Err(error) = undone {
            tracing::error!(%error, "a refused wish could not be taken back");
        }
        self.publish();
    }

    /// Answers what waits for a policy that is in force; starts putting it in force where nobody does.
    pub(super) fn settle(&mut self) {
        self.policy_retry.due(tokio::time::Instant::now());
        if self.policy_busy || self.world.guardian.is_none() {
            return;
        }
        self.world.policy_wanted = self.policy().fingerprint();
        if self.world.policy_is_current() {
            self.settled = true;
            self.kept
                .extend(self.promises.drain(..).map(|promise| promise.reply));
            return;
        }
        let claimed = !self.promises.is_empty() || self.claimed;
        // Without claims the instances' own actions keep the policy.
        self.settled |= !claimed;
        if claimed && self.policy_retry.pending().is_none() {
            self.policy_busy = true;
            let (means, policy) = (self.means.clone(), self.policy());
            self.applying
                .spawn(async move { means.apply(policy).await });
        }
    }

    /// Answers wishes that are in force; called after everybody was shown what is so now.
    pub(super) fn answer_kept(&mut self) {
        for reply in self.kept.drain(..) {
            // Whoever asked may have gone; it is in force all the same.
            let _ = reply.send(Ok(()));
        }
    }

    /// A policy was put in force, or was not.
    pub(super) fn applied(&mut self, result: Result<String, Failure>) {
        self.policy_busy = false;
        if let Some(seen) = self.world.guardian.as_mut() {
            seen.policy = result.as_ref().ok().cloned();
        }
        match result {
            // What is wanted may be newer by now: the next turn compares.
            Ok(_) => self.claimed = self.claims_something(),
            Err(failure) => {
                tracing::warn!(%failure, "the policy was not taken");
                if !self.break_promises(&failure) {
                    self.policy_retry.failed(failure.to_string());
                }
            }
        }
    }

    /// Undoes every wish that waits, newest first; whether there was one.
    pub(super) fn break_promises(&mut self, failure: &Failure) -> bool {
        let broken = !self.promises.is_empty();
        while let Some(Promise { undo, reply }) = self.promises.pop() {
            self.undo(undo);
            let _ = reply.send(Err(Denied::Kernel(failure.to_string())));
        }
        broken
    }

    /// Whether the policy holds, or held a moment ago, more than instances.
    pub(super) fn claims_something(&self) -> bool {
        let policy = self.policy();
        !policy.rules.is_empty() || !policy.bandwidth.is_empty()
    }

    /// The rules and shapes that belong into the kernel now: those of ready instances and of registered applications.
    pub(super) fn fill(&self, policy: &mut Policy) {
        let hosted = self.instances.values().filter(|tracked| tracked.announced);
        let hosted = hosted.map(|tracked| (&tracked.instance.id, &tracked.instance.rules));
        let elsewhere = self
            .registrations
            .values()
            .filter(|it| it.running && !self.instances.contains_key(&it.id))
            .map(|registration| (&registration.id, &registration.rules));
        policy.rules = edged_net::rules_in_force(hosted.chain(elsewhere), &self.abilities());
        policy.bandwidth = self
            .allocations
            .iter()
            .map(|allocated| &allocated.allocation)
            .filter_map(|allocation| {
                let tracked = self.instances.get(&allocation.instance)?;
                tracked.allowed.then(|| Shape {
                    place: tracked.instance.lease,
                    allocation: allocation.clone(),
                })
            })
            .collect();
        policy
            .bandwidth
            .sort_by(|a, b| (a.place, &a.allocation.id).cmp(&(b.place, &b.allocation.id)));
    }

    /// The application says that it is ready: true of this run of its container, kept beyond a restart of edged.
    pub(super) fn confirm(&mut self, id: &InstanceId) -> Result<(), Denied> {
        let ContainerState::Running { pid, since } = self.world.container(id) else {
            return Err(Denied::NotRunning(id.clone()));
        };
        let Some(tracked) = self.instances.get_mut(id) else {
            return Err(Denied::UnknownId(id.clone()));
        };
        let confirmed = Confirmed {
            instance: id.clone(),
            pid,
            since,
        };
        if tracked.instance.spec.probes.confirm && tracked.confirmed.as_ref() != Some(&confirmed) {
            self.store
                .put_record(&confirmed)
                .map_err(|error| unkept(&error))?;
        }
        tracked.confirmed = Some(confirmed);
        Ok(())
    }

    /// Takes what an instance that is gone leaves behind.
    pub(super) fn forget_claims(&mut self, id: &InstanceId) {
        let gone: Vec<AllocationId> = self
            .allocations
            .iter()
            .map(|allocated| &allocated.allocation)
            .filter(|allocation| allocation.instance == *id)
            .map(|allocation| allocation.id.clone())
            .collect();
        for allocation in gone {
            if let Err(error) = self.put_allocation(&allocation, None) {
                tracing::warn!(%error, "an allocation without an instance stays");
            }
        }
        if let Err(error) = self.put_registration(id, None) {
            tracing::warn!(%error, "a registration without an instance stays");
        }
        if let Err(error) = self.store.remove_record::<Confirmed>(id.as_str()) {
            tracing::warn!(%error, "a confirmation without an instance stays");
        }
    }
}
