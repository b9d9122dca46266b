//! What the worker, the guardian and the broker show, as last told.

use std::collections::{BTreeMap, BTreeSet};

use edged_model::{AppInstance, ContainerState, Digest, InstanceId, LeaseNumber};
use edged_mqtt::AccountState;

use crate::link::{guardian, worker};

/// The world outside edged. What cannot be asked at the moment is `None`.
#[derive(Debug, Default)]
pub struct World {
    /// Layers and containers.
    pub worker: Option<worker::Seen>,
    /// Links and the policy.
    pub guardian: Option<guardian::Seen>,
    /// Accounts, or why the broker cannot be asked.
    pub broker: Option<BTreeMap<InstanceId, AccountState>>,
    /// Why the broker cannot be asked.
    pub broker_away: String,
    /// Fingerprint of the policy that should be in force.
    pub policy_wanted: String,
}

impl World {
    /// Whether containers and links can be seen: without that nothing is planned.
    pub fn is_seen(&self) -> bool {
        self.worker.is_some() && self.guardian.is_some()
    }

    /// The container of an instance.
    pub fn container(&self, id: &InstanceId) -> ContainerState {
        self.worker
            .as_ref()
            .and_then(|seen| seen.containers.get(id))
            .copied()
            .unwrap_or_default()
    }

    /// Notes a container's state.
    pub fn set_container(&mut self, id: &InstanceId, state: ContainerState) {
        if let Some(seen) = &mut self.worker {
            if state == ContainerState::Absent {
                seen.containers.remove(id);
            } else {
                seen.containers.insert(id.clone(), state);
            }
        }
    }

    /// Layers that are not unpacked, lowest first.
    pub fn missing_layers(&self, layers: &[Digest]) -> Vec<Digest> {
        let unpacked: Option<&BTreeSet<Digest>> = self.worker.as_ref().map(|seen| &seen.layers);
        layers
            .iter()
            .filter(|layer| unpacked.is_some_and(|all| !all.contains(*layer)))
            .cloned()
            .collect()
    }

    /// Whether a place has its link.
    pub fn has_link(&self, lease: LeaseNumber) -> bool {
        self.guardian
            .as_ref()
            .is_some_and(|seen| seen.links.contains(&lease))
    }

    /// Notes a place's link.
    pub fn set_link(&mut self, lease: LeaseNumber, there: bool) {
        if let Some(seen) = &mut self.guardian {
            if there {
                seen.links.insert(lease);
            } else {
                seen.links.remove(&lease);
            }
        }
    }

    /// Notes all whole layers.
    pub fn set_layers(&mut self, layers: BTreeSet<Digest>) {
        if let Some(seen) = &mut self.worker {
            seen.layers = layers;
        }
    }

    /// Notes that a layer was deleted.
    pub fn drop_layer(&mut self, layer: &Digest) {
        if let Some(seen) = &mut self.worker {
            seen.layers.remove(layer);
        }
    }

    /// Notes a whole layer.
    pub fn add_layer(&mut self, layer: Digest) {
        if let Some(seen) = &mut self.worker {
            seen.layers.insert(layer);
        }
    }

    /// Notes that an account is as wanted, or gone.
    pub fn set_account(&mut self, instance: &AppInstance, there: bool) {
        let Some(accounts) = &mut self.broker else {
            return;
        };
        if there {
            let account = AccountState {
                username: instance.id.as_str().parse().ok(),
                subscribe: instance.spec.mqtt.subscribe.iter().cloned().collect(),
                intact: true,
            };
            accounts.insert(instance.id.clone(), account);
        } else {
            accounts.remove(&instance.id);
        }
    }

    /// Whether the kernel has the wanted policy.
    pub fn policy_is_current(&self) -> bool {
        self.guardian
            .as_ref()
            .is_some_and(|seen| seen.policy.as_deref() == Some(self.policy_wanted.as_str()))
    }

    /// Whether the account is as it should be: `None` when the broker cannot be asked. For an instance that is to go,
    /// any account at all counts as there.
    pub fn account(&self, instance: &AppInstance) -> Option<bool> {
        let accounts = self.broker.as_ref()?;
        let Some(account) = accounts.get(&instance.id) else {
            return Some(false);
        };
        if instance.goal != edged_model::Goal::Running {
            return Some(true);
        }
        let wanted: BTreeSet<_> = instance.spec.mqtt.subscribe.iter().cloned().collect();
        let username = account.username.as_ref().map(edged_mqtt::Username::as_str);
        Some(
            account.intact && username == Some(instance.id.as_str()) && account.subscribe == wanted,
        )
    }
}
