//! One action, done: asked of the worker, the guardian or the broker, and seen to be so.

use std::collections::BTreeSet;
use std::sync::Arc;

use edged_config::{Addressing, Config};
use edged_image::{ContentStore, Image};
use edged_model::{Action, AppInstance, ContainerState, Digest, InstanceId};
use edged_mqtt::{Account, BrokerClient};
use edged_protocol::guardian::{self, Policy};
use edged_protocol::worker::{self, LayerSource};
use edged_store::Credentials;

use crate::compose;
use crate::fault::{self, Moment};
use crate::link::Failure;
use crate::link::guardian::Guardian;
use crate::link::worker::Worker;

/// Everything that actions are done with. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Means {
    /// Containers and layers.
    pub worker: Worker,
    /// Links and the policy.
    pub guardian: Guardian,
    /// Accounts.
    pub broker: BrokerClient,
    /// Images.
    pub images: ContentStore,
    /// The configuration.
    pub config: Arc<Config>,
    /// The address plan.
    pub addressing: Arc<Addressing>,
}

/// One action of one instance, with what it needs to know.
#[derive(Debug, Clone)]
pub struct Task {
    /// What to do.
    pub action: Action,
    /// For whom.
    pub instance: Arc<AppInstance>,
    /// With which secrets.
    pub credentials: Credentials,
    /// The policy of the whole node, for the two actions that change it.
    pub policy: Policy,
    /// The grace of a stop.
    pub grace_ms: u32,
}

/// What an action found out beyond its success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The container's state afterwards.
    pub container: Option<ContainerState>,
    /// Whether the link is there, where that was looked at.
    pub link: Option<bool>,
    /// All unpacked layers, where that was looked at.
    pub layers: Option<BTreeSet<Digest>>,
    /// Fingerprint of the policy now in force.
    pub policy: Option<String>,
}

impl Means {
    /// Does it. After a failure nobody knows how far it came, so what is there now is looked at anew.
    pub async fn perform(&self, task: &Task) -> (Outcome, Result<(), Failure>) {
        fault::pass(Moment::Before, fault::name(&task.action));
        match self.execute(task).await {
            Ok(outcome) => {
                fault::pass(Moment::After, fault::name(&task.action));
                (outcome, Ok(()))
            }
            Err(failure) => {
                let worker = self.worker.observe().await.ok();
                let links = self.guardian.observe().await.ok().map(|seen| seen.links);
                let id = &task.instance.id;
                let outcome = Outcome {
                    container: worker
                        .as_ref()
                        .map(|seen| seen.containers.get(id).copied().unwrap_or_default()),
                    link: links.map(|links| links.contains(&task.instance.lease)),
                    layers: worker.map(|seen| seen.layers),
                    policy: None,
                };
                (outcome, Err(failure))
            }
        }
    }

    async fn execute(&self, task: &Task) -> Result<Outcome, Failure> {
        let instance = &task.instance;
        let id = &instance.id;
        let lease = self.addressing.lease(instance.lease);
        match &task.action {
            Action::UnpackLayer(digest) => self.unpack(instance, digest).await?,
            Action::AllowTraffic | Action::DenyTraffic => {
                return Ok(Outcome {
                    policy: Some(self.apply(task.policy.clone()).await?),
                    ..Outcome::default()
                });
            }
            Action::GrantAccount => self.grant(instance, &task.credentials).await?,
            Action::CreateContainer => {
                let image = self.image(instance).await?;
                let spec = compose::container(
                    instance,
                    &image,
                    &task.credentials,
                    &self.config,
                    &self.addressing,
                );
                let spec = spec.ok_or_else(|| {
                    Failure::Own(format!(
                        "image {} names no program; give one after its name",
                        instance.spec.image
                    ))
                })?;
                self.worker
                    .order(worker::Command::Create(Box::new(spec)))
                    .await?;
                return self.look(id).await;
            }
            Action::AttachLink => {
                self.guardian
                    .order(guardian::Command::Attach {
                        instance: id.clone(),
                        lease,
                    })
                    .await?;
            }
            Action::StartContainer => {
                let network = edged_net::network_of(instance.lease, &self.addressing);
                self.worker
                    .order(worker::Command::Start {
                        instance: id.clone(),
                        network,
                    })
                    .await?;
                return self.look(id).await;
            }
            Action::StopContainer => {
                // Without its image the signal is the default one: a stop never fails for want of a document.
                let image = self.image(instance).await.ok();
                let named = image
                    .as_ref()
                    .and_then(|image| image.process.stop_signal.as_deref());
                let signal = compose::stop_signal(instance, named);
                let stop = worker::Command::Stop {
                    instance: id.clone(),
                    signal,
                    grace_ms: task.grace_ms,
                };
                self.worker.order(stop).await?;
                return self.look(id).await;
            }
            Action::DeleteContainer => {
                self.worker
                    .order(worker::Command::Delete {
                        instance: id.clone(),
                    })
                    .await?;
                return self.look(id).await;
            }
            Action::DetachLink => {
                self.guardian
                    .order(guardian::Command::Detach { lease })
                    .await?;
            }
            Action::RevokeAccount => {
                self.broker
                    .remove_account(id)
                    .await
                    .map_err(|error| Failure::Own(error.to_string()))?;
            }
            // The reconciler's own: they change nothing outside edged that has to be waited for.
            Action::Announce | Action::Withdraw | Action::Forget => {}
        }
        Ok(Outcome::default())
    }

    /// Puts a policy in force; its fingerprint.
    pub async fn apply(&self, policy: Policy) -> Result<String, Failure> {
        let fingerprint = policy.fingerprint();
        self.guardian
            .order(guardian::Command::Apply { policy })
            .await?;
        Ok(fingerprint)
    }

    async fn look(&self, id: &InstanceId) -> Result<Outcome, Failure> {
        let seen = self.worker.observe().await?;
        let container = seen.containers.get(id).copied().unwrap_or_default();
        Ok(Outcome {
            container: Some(container),
            ..Outcome::default()
        })
    }

    async fn image(&self, instance: &AppInstance) -> Result<Image, Failure> {
        let image = self
            .images
            .image_at(&instance.spec.image, &instance.image.manifest)
            .await;
        image.map_err(|error| Failure::Own(error.to_string()))
    }

    async fn unpack(&self, instance: &AppInstance, diff_id: &Digest) -> Result<(), Failure> {
        let image = self.image(instance).await?;
        let layer = image.layers.iter().find(|layer| layer.diff_id == *diff_id);
        let layer = layer.ok_or_else(|| {
            Failure::Own(format!("image {} has no layer {diff_id}", image.manifest))
        })?;
        let source = LayerSource {
            blob: layer.digest.clone(),
            size: layer.size,
            media_type: layer.media_type.as_str().to_owned(),
            diff_id: layer.diff_id.clone(),
        };
        let unpacked = self.worker.order(worker::Command::UnpackLayer(source));
        let unpacked = unpacked.await;
        if let Err(Failure::Refused(refusal)) = &unpacked
            && !refusal.transient
        {
            // A card may lose what it was given. Without the blob, a pull or a load brings it again.
            match self.images.discard_damaged(&layer.digest).await {
                Ok(true) => {
                    tracing::error!(blob = %layer.digest, "a layer's blob was damaged, and is gone");
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a layer's blob cannot be looked at"),
            }
        }
        unpacked
    }

    async fn grant(
        &self,
        instance: &AppInstance,
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let own = |error: &dyn std::fmt::Display| {
            Failure::Own(format!("no account on the broker: {error}"))
        };
        let account = Account {
            instance: instance.id.clone(),
            username: instance.id.as_str().parse().map_err(|error| own(&error))?,
            password: credentials.mqtt_password.clone(),
            subscribe: instance.spec.mqtt.subscribe.clone(),
        };
        self.broker
            .apply_account(&account)
            .await
            .map(drop)
            .map_err(|error| own(&error))
    }
}
