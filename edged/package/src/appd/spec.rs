//! From the descriptor to what edged runs.

use edged_model::{
    AppName, AppSpec, Bytes, ImageReference, Limits, MilliCpus, Mqtt, Network, Probes, ServiceSpec,
    StopPolicy,
};

use super::AppDescriptor;

/// Why a good descriptor cannot run on a box like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Several containers share a network in MEC 010-2; here an application is one container.
    #[error(
        "application {app} has {count} containers and one is run here; make an application of each"
    )]
    Containers {
        /// `appDId`.
        app: String,
        /// How many.
        count: usize,
    },
    /// No processor time.
    #[error(
        "application {app} allows its container no processor time; set cpu_resource_limit to 1 or more"
    )]
    NoCpu {
        /// `appDId`.
        app: String,
    },
    /// No memory.
    #[error("application {app} allows its container no memory; set memory_resource_limit")]
    NoMemory {
        /// `appDId`.
        app: String,
    },
}

impl AppDescriptor {
    /// What edged runs for this descriptor. A limit that is absent is what the descriptor asks for, or else the
    /// platform's default. Traffic and DNS rules stay with the descriptor.
    ///
    /// # Errors
    /// [`SpecError`] for what this platform does not run.
    pub fn spec(&self, name: AppName, image: ImageReference) -> Result<AppSpec, SpecError> {
        let [container] = self.os_container_descriptor.as_slice() else {
            return Err(SpecError::Containers {
                app: self.app_d_id.clone(),
                count: self.os_container_descriptor.len(),
            });
        };
        let defaults = Limits::default();
        let limits = Limits {
            cpus: container
                .cpu_resource_limit
                .or(container.requested_cpu_resources)
                .map_or(defaults.cpus, MilliCpus),
            memory: container
                .memory_resource_limit
                .or(container.requested_memory_resources)
                .map_or(defaults.memory, |amount| Bytes(amount.0)),
            pids: defaults.pids,
        };
        if limits.cpus.0 == 0 {
            return Err(SpecError::NoCpu {
                app: self.app_d_id.clone(),
            });
        }
        if limits.memory.0 == 0 {
            return Err(SpecError::NoMemory {
                app: self.app_d_id.clone(),
            });
        }
        let wishes = self.extensions.clone();
        Ok(AppSpec {
            name,
            image,
            entrypoint: wishes.entrypoint,
            args: wishes.args,
            env: wishes.env,
            limits,
            writable: wishes.writable,
            network: Network {
                publish: wishes.publish,
                reach: wishes.reach,
                egress: wishes.egress,
            },
            mqtt: Mqtt {
                subscribe: wishes.mqtt_subscribe,
            },
            services: wishes
                .services
                .into_iter()
                .map(|(name, at)| ServiceSpec {
                    name,
                    port: at.port,
                    protocol: at.protocol,
                })
                .collect(),
            probes: Probes {
                liveness: wishes.liveness,
                readiness: wishes.readiness,
                confirm: wishes.confirm_ready,
            },
            restart: wishes.restart,
            stop: self.stop(),
            depends_on: Vec::new(),
        })
    }

    /// The grace that the descriptor asks for when an instance stops or is terminated, the longer of both.
    fn stop(&self) -> StopPolicy {
        let stop = self
            .change_app_instance_state_op_config
            .as_ref()
            .map(|config| config.min_graceful_stop_timeout);
        let terminate = self
            .terminate_app_instance_op_config
            .as_ref()
            .map(|config| config.min_graceful_termination_timeout);
        let grace = stop
            .max(terminate)
            .and_then(|grace| u32::try_from(grace.0).ok());
        match grace {
            Some(grace_ms) => StopPolicy {
                grace_ms,
                ..StopPolicy::default()
            },
            None => StopPolicy::default(),
        }
    }
}
