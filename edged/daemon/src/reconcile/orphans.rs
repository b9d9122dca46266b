//! What an earlier life left that nobody wants: containers, links and accounts without an instance.

use edged_model::{ContainerState, InstanceId, LeaseNumber};
use edged_protocol::{guardian, worker};

use super::{Means, Reconciler};

/// SIGKILL: an orphan has no policy of its own to be asked politely by.
const SIGKILL: i32 = 9;

impl Reconciler {
    /// Removes containers whose instance is not known.
    pub(super) fn drop_orphan_containers(&mut self) {
        let Some(seen) = &mut self.world.worker else {
            return;
        };
        let orphans: Vec<(InstanceId, ContainerState)> = seen
            .containers
            .iter()
            .filter(|(id, _)| !self.instances.contains_key(*id))
            .map(|(id, state)| (id.clone(), *state))
            .collect();
        for (id, state) in orphans {
            tracing::warn!(%id, "a container without an instance is removed");
            seen.containers.remove(&id);
            let means = self.means.clone();
            // Short and independent of every instance; its end is seen by the next observation.
            tokio::spawn(async move { remove_container(&means, id, state).await });
        }
    }

    /// Removes links whose place is not held.
    pub(super) fn drop_orphan_links(&mut self) {
        let Some(seen) = &mut self.world.guardian else {
            return;
        };
        let held = |place: &LeaseNumber| {
            self.instances
                .values()
                .any(|tracked| tracked.instance.lease == *place)
        };
        let orphans: Vec<LeaseNumber> = seen
            .links
            .iter()
            .copied()
            .filter(|place| !held(place))
            .collect();
        for place in orphans {
            seen.links.remove(&place);
            let (guardian, lease) = (
                self.means.guardian.clone(),
                self.means.addressing.lease(place),
            );
            tokio::spawn(async move {
                if let Err(error) = guardian.order(guardian::Command::Detach { lease }).await {
                    tracing::warn!(%error, place = place.get(), "a link without an instance stays");
                }
            });
        }
    }

    /// Removes accounts whose instance is not known.
    pub(super) fn drop_orphan_accounts(&mut self) {
        let Some(accounts) = &mut self.world.broker else {
            return;
        };
        let orphans: Vec<InstanceId> = accounts
            .keys()
            .filter(|id| !self.instances.contains_key(*id))
            .cloned()
            .collect();
        for id in orphans {
            accounts.remove(&id);
            let broker = self.means.broker.clone();
            tokio::spawn(async move {
                if let Err(error) = broker.remove_account(&id).await {
                    tracing::warn!(%error, %id, "an account without an instance stays");
                }
            });
        }
    }
}

async fn remove_container(means: &Means, instance: InstanceId, state: ContainerState) {
    if matches!(
        state,
        ContainerState::Running { .. } | ContainerState::Stopping
    ) {
        let stop = worker::Command::Stop {
            instance: instance.clone(),
            signal: SIGKILL,
            grace_ms: 0,
        };
        // What matters is whether it can be deleted.
        let _ = means.worker.order(stop).await;
    }
    // The worker refuses while the container is ending, and says so; a few tries cover that.
    for _ in 0..20 {
        match means
            .worker
            .order(worker::Command::Delete {
                instance: instance.clone(),
            })
            .await
        {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, %instance, "not deleted yet"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    tracing::error!(%instance, "a container without an instance stays");
}
