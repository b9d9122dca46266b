//! What the interfaces ask of the box: one picture to read, and wishes that are answered when the world has them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use edged_model::{
    Allocation, AllocationId, AppInstance, AppSpec, Goal, ImageReference, InstanceId,
    InstanceState, Rules, TrafficRule,
};
use edged_store::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::{NodeStatus, Problem, RegisteredService};

/// An application that runs elsewhere, or one of ours that told more of itself (MEC 011, `/registrations`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// `appInstanceId`.
    pub id: InstanceId,
    /// The `AppInfo` as it is answered.
    pub info: Value,
    /// Rules of an application that runs elsewhere, in force while it is registered.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// Whether it is known to run; the rules of one that does not wait. Who registers runs.
    #[serde(default = "runs")]
    pub running: bool,
}

fn runs() -> bool {
    true
}

impl Record for Registration {
    const KIND: &'static str = "registration";
    fn key(&self) -> &str {
        self.id.as_str()
    }
}

/// Bandwidth that is allocated (MEC 015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    /// What the kernel holds.
    pub allocation: Allocation,
    /// The `BwInfo` as it is answered.
    pub info: Value,
}

impl Record for Allocated {
    const KIND: &'static str = "allocation";
    fn key(&self) -> &str {
        self.allocation.id.0.as_str()
    }
}

/// An application as the interfaces see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Application {
    /// It runs here, or is meant to.
    Hosted {
        /// What is wanted, rules included.
        instance: Arc<AppInstance>,
        /// Where it is in its life.
        state: InstanceState,
        /// Whether its container runs now.
        running: bool,
    },
    /// It runs elsewhere and is known by its registration alone.
    Registered(Arc<Registration>),
}

impl Application {
    /// `appInstanceId`.
    pub fn id(&self) -> &InstanceId {
        match self {
            Self::Hosted { instance, .. } => &instance.id,
            Self::Registered(registration) => &registration.id,
        }
    }

    /// Its traffic and DNS rules.
    pub fn rules(&self) -> &Rules {
        match self {
            Self::Hosted { instance, .. } => &instance.rules,
            Self::Registered(registration) => &registration.rules,
        }
    }

    /// Whether its rules are in force: it is ready, or runs elsewhere.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Hosted { state, .. } => *state == InstanceState::Ready,
            Self::Registered(registration) => registration.running,
        }
    }
}

/// What the box says of an application.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Statement {
    /// `appInstanceId`.
    pub instance: String,
    /// The digest of the manifest that it was pinned to.
    pub image: String,
    /// SHA-256 of its specification in canonical JSON (RFC 8785), hexadecimal.
    pub configuration: String,
}

/// A time server that the node is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NtpSource {
    /// Name or address.
    pub host: String,
    /// Shortest pause between two questions, as a power of two seconds (RFC 5905).
    pub min_poll: u32,
    /// Longest pause.
    pub max_poll: u32,
    /// 1 is asked first.
    pub priority: u32,
    /// Number of the symmetric key, where one is used.
    pub key: Option<u32>,
}

/// The node's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The time of day.
    pub now: std::time::SystemTime,
    /// Whether the kernel says that it is disciplined by a source (NTP or PTP).
    pub locked: bool,
    /// Where the time comes from.
    pub ntp: Vec<NtpSource>,
}

/// The node at one moment, as far as the interfaces show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// Every application.
    pub applications: BTreeMap<InstanceId, Application>,
    /// What hosted applications registered of themselves.
    pub registrations: BTreeMap<InstanceId, Arc<Registration>>,
    /// Every registered service, oldest first.
    pub services: Vec<Arc<RegisteredService>>,
    /// Every bandwidth allocation, oldest first.
    pub allocations: Vec<Arc<Allocated>>,
}

/// An application to be made of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The id that was promised.
    pub id: InstanceId,
    /// What it should be; its image is here already.
    pub spec: AppSpec,
    /// Its traffic and DNS rules.
    pub rules: Rules,
}

/// What the interfaces ask of the box. Every wish is answered when it is durable and the world has it (the kernel, the
/// resolver, the broker), or with the problem that kept it from that, and then nothing has changed.
pub trait Platform: Clone + Send + Sync + 'static {
    /// The node now.
    fn picture(&self) -> Arc<Picture>;
    /// Every later picture; a reader that sleeps sees the newest only.
    fn pictures(&self) -> watch::Receiver<Arc<Picture>>;
    /// Whether this is the instance's client secret; compared in constant time.
    fn is_secret_of(&self, instance: &InstanceId, secret: &str) -> bool;
    /// Whether the node does its work, and if not, what is missing.
    fn readiness(&self) -> Result<(), String>;
    /// Prometheus text (exposition format 0.0.4).
    fn metrics(&self) -> String;
    /// The state of the node and its applications, as `edgectl status` and `ps` have it.
    fn status(&self) -> NodeStatus;

    /// Which promises about the box hold, as `edgectl trust status -o json` has it; `unvouched` are the images of packages
    /// whose signer is trusted no more.
    fn trust_status(
        &self,
        unvouched: BTreeSet<ImageReference>,
    ) -> impl Future<Output = Result<serde_json::Value, Problem>> + Send;

    /// Has the box's TPM sign, over a nonce, what the box booted and, where one asks, what an application is; the
    /// evidence as JSON. 409 where the box has no TPM.
    fn attest(
        &self,
        nonce: Vec<u8>,
        application: Option<Statement>,
    ) -> impl Future<Output = Result<serde_json::Value, Problem>> + Send;

    /// Which release runs and how far an update has come, as `edgectl update status -o json` has it.
    fn update_status(&self) -> serde_json::Value;

    /// Takes a signed bundle; returns when it is written and will be tried.
    fn install_update(
        &self,
        no_way_back: bool,
        bundle: axum::body::Body,
    ) -> impl Future<Output = Result<serde_json::Value, Problem>> + Send;

    /// Gives up the update that is under way.
    fn roll_back_update(&self) -> impl Future<Output = Result<serde_json::Value, Problem>> + Send;

    /// A certificate of the box's authority for a service of that name, over a request (PKCS #10), with the authority's
    /// own behind it; PEM.
    ///
    /// 400 for what is no request.
    fn certify(
        &self,
        host: String,
        request: Vec<u8>,
    ) -> impl Future<Output = Result<String, Problem>> + Send;

    /// The node's clock and what disciplines it.
    fn clock(&self) -> Clock;

    /// The instance says that it is ready.
    fn confirm_ready(
        &self,
        instance: InstanceId,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Registers an application, or replaces its registration.
    fn register(
        &self,
        registration: Registration,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Forgets a registration, and of an application that runs elsewhere everything.
    fn deregister(&self, id: InstanceId) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Adds a service or replaces it.
    fn put_service(
        &self,
        service: RegisteredService,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Removes a service.
    fn remove_service(&self, id: String) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Whether this box can keep a traffic rule; if not, 422 and why.
    fn feasible(&self, rule: &TrafficRule) -> Result<(), Problem>;
    /// Replaces the rules of an application: in force in the kernel and the resolver when answered (while it is ready).
    fn set_rules(
        &self,
        owner: InstanceId,
        rules: Rules,
    ) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Adds an allocation or replaces it: in force in the kernel when answered.
    fn put_allocation(
        &self,
        allocation: Allocated,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Takes an allocation back.
    fn remove_allocation(
        &self,
        id: AllocationId,
    ) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Makes an application of an image that is here; answered when it is durable.
    fn deploy(&self, deployment: Deployment) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Changes what is wanted of an application; answered when it is durable. `grace_ms`: time until SIGKILL.
    fn change(
        &self,
        instance: InstanceId,
        goal: Goal,
        grace_ms: Option<u32>,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Whether an image is in the content store under this name.
    fn has_image(&self, reference: &ImageReference) -> bool;
    /// Loads the one image of an archive file into the content store, under this name alone.
    fn load_image(
        &self,
        archive: PathBuf,
        name: ImageReference,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Takes a name and, where nobody else needs them, its blobs out of the content store; none of that name is fine.
    fn forget_image(
        &self,
        reference: ImageReference,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Pulls an image into the content store.
    fn pull_image(
        &self,
        reference: ImageReference,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
}
