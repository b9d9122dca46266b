//! What everybody but the reconciler reads: one immutable picture, replaced whole after every turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use edged_mec::RegisteredService;
use edged_model::{AppInstance, AppName, ContainerState, ExitCode, InstanceId, InstanceState};
use edged_protocol::guardian::Abilities;
use edged_protocol::worker::CgroupLayout;
use edged_store::Credentials;
use tokio::sync::watch;

/// One instance.
#[derive(Debug, Clone)]
pub struct InstanceStatus {
    /// What is wanted.
    pub instance: Arc<AppInstance>,
    /// Its secrets.
    pub credentials: Credentials,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Its container.
    pub container: ContainerState,
    /// Starts again by the platform.
    pub restarts: u32,
    /// How its container ended the last time.
    pub last_exit: Option<ExitCode>,
}

/// The node at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Instances by name.
    pub instances: BTreeMap<AppName, InstanceStatus>,
    /// Services that applications registered.
    pub services: Vec<Arc<RegisteredService>>,
    /// The worker's cgroup layout, while it is up.
    pub worker: Option<CgroupLayout>,
    /// What the guardian's kernel can do, while it is up.
    pub guardian: Option<Abilities>,
    /// Whether the kernel has held the wanted policy since the guardian is up.
    pub settled: bool,
    /// Whether the broker answers, or why not.
    pub broker: Result<(), String>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            instances: BTreeMap::new(),
            services: Vec::new(),
            worker: None,
            guardian: None,
            settled: false,
            broker: Err("no attempt has ended yet".to_owned()),
        }
    }
}

impl Snapshot {
    /// An instance by its id.
    pub fn by_id(&self, id: &InstanceId) -> Option<&InstanceStatus> {
        self.instances
            .values()
            .find(|status| status.instance.id == *id)
    }
}

/// The reader's end.
pub type Reader = watch::Receiver<Arc<Snapshot>>;
