//! What all interfaces share: the platform beneath them, who wants to be told, and what they know of their place.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edged_notify::{Deliverer, Subscriptions};
use edged_store::Store;

use crate::Platform;
use crate::lifecycle::Book;
use crate::package_management::Packages;
use crate::query::MarkerKey;
use crate::service_management::Registry;
use crate::termination::Terminations;

/// Where the node is and what it is called: fixed for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The zone of its names, as `edge.mec.internal`.
    pub zone: String,
    /// Host and port of the interfaces on the application network.
    pub app_host: String,
    /// The prefix before every path, without a last slash; empty by default.
    pub prefix: String,
    /// The broker as applications reach it, `mqtt://HOST:PORT`.
    pub broker: String,
    /// Folder of packages, ours alone.
    pub packages: PathBuf,
    /// Folder of PEM files of those whose packages are taken; read at each on-boarding.
    pub signers: PathBuf,
    /// Whether packages without a signature are taken: an operator's explicit choice.
    pub unsigned_packages: bool,
}

/// The interfaces' common ground.
pub struct Mec<P> {
    /// The box.
    pub platform: P,
    /// Who wants to be told.
    pub subscriptions: Arc<Subscriptions>,
    /// What tells them.
    pub deliverer: Deliverer,
    /// The node's place.
    pub facts: Facts,
    pub(crate) registry: Registry,
    pub(crate) terminations: Terminations,
    /// Held while rules or allocations are read, changed and put back: of two writers with one If-Match one fails.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    /// What the markers of pages are signed with.
    pub marker: MarkerKey,
    /// The packages of the node.
    pub packages: Packages,
    /// Instances that orchestrators created, and the runs on them.
    pub(crate) lifecycle: Book,
    store: Mutex<Store>,
}

impl<P: Platform> Mec<P> {
    /// With a connection of its own to the node's state, for packages and operations.
    pub fn new(
        platform: P,
        subscriptions: Arc<Subscriptions>,
        deliverer: Deliverer,
        facts: Facts,
        marker: MarkerKey,
        store: Store,
    ) -> Arc<Self> {
        Arc::new(Self {
            platform,
            subscriptions,
            deliverer,
            facts,
            registry: Registry::default(),
            terminations: Terminations::default(),
            claiming: tokio::sync::Mutex::default(),
            marker,
            packages: Packages::default(),
            lifecycle: Book::default(),
            store: Mutex::new(store),
        })
    }

    /// The state. Calls are short and never held across an await.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> std::fmt::Debug for Mec<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mec")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
