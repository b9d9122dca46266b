//! Against real receivers on loopback. Nothing here waits for a time: every wait ends with a state.

mod delivery;
mod failing;
mod receiver;
mod subscriptions;
mod websocket;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edged_model::InstanceId;
use edged_store::Store;
use serde_json::{Value, json};

use crate::{
    Callback, Counts, Deliverer, Limits, Reach, Subscription, SubscriptionId, Subscriptions,
};

/// Long enough for anything that will happen, short enough for a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// When the clock of the tests begins.
const START: u64 = 1_795_000_000;

/// Everything is permitted but one address; `box.test` is here, and nothing else of the zone is.
#[derive(Default, Clone)]
struct Here {
    forbidden: Arc<Mutex<Option<SocketAddr>>>,
    asked: Arc<Mutex<Vec<Option<InstanceId>>>>,
}

impl Reach for Here {
    fn lookup(&self, host: &str) -> Option<Vec<IpAddr>> {
        let known = [IpAddr::from([127, 0, 0, 1])];
        host.strip_suffix("box.test")
            .map(|rest| known.into_iter().filter(|_| rest.is_empty()).collect())
    }

    fn permits(&self, owner: Option<&InstanceId>, to: SocketAddr) -> bool {
        self.asked.lock().unwrap().push(owner.cloned());
        Some(to) != *self.forbidden.lock().unwrap()
    }
}

/// The node's own, with short pauses.
fn brisk() -> Limits {
    Limits {
        retry_first: Duration::from_millis(1),
        retry_ceiling: Duration::from_millis(5),
        attempts: 4,
        // Nothing may come right only because time went by.
        rest: Duration::from_secs(600),
        ping: Duration::from_secs(600),
        ..Limits::default()
    }
}

struct Node {
    subscriptions: Subscriptions,
    deliverer: Deliverer,
    clock: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self::with(Here::default(), None, brisk())
    }

    fn with(reach: Here, authorities: Option<&[u8]>, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deliverer = Deliverer::new(Arc::new(reach), authorities, None, limits).unwrap();
        Self::open(folder, deliverer)
    }

    fn open(folder: tempfile::TempDir, deliverer: Deliverer) -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        Self {
            subscriptions: Subscriptions::open(store, deliverer.clone(), clock.clone()).unwrap(),
            deliverer,
            clock,
            folder,
        }
    }

    /// The same box after a restart.
    fn restarted(self) -> Self {
        let deliverer = Deliverer::new(Arc::new(Here::default()), None, None, brisk()).unwrap();
        drop(self.subscriptions);
        Self::open(self.folder, deliverer)
    }

    fn subscribe(&self, callback: &str) -> SubscriptionId {
        let subscription = subscription(callback);
        self.subscriptions.add(subscription).unwrap().id.clone()
    }

    fn deliver(&self, id: &SubscriptionId, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.deliverer.deliver(id, &json!({ "n": n }));
        }
    }

    /// Waits until the counters say this.
    async fn counts(&self, wanted: impl Fn(Counts) -> bool) -> Counts {
        let reached = async {
            while !wanted(self.deliverer.counts()) {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        let counts = self.deliverer.counts();
        assert!(reached.is_ok(), "the counters stay at {counts:?}");
        counts
    }
}

/// To a callback, or over a WebSocket where it is empty.
fn subscription(callback: &str) -> Subscription {
    let callback = Some(callback).filter(|text| !text.is_empty());
    Subscription {
        id: SubscriptionId::random(),
        api: "mec_app_support".to_owned(),
        kind: "AppTerminationNotificationSubscription".to_owned(),
        trusted: false,
        owner: None,
        callback: callback.map(|text| text.parse::<Callback>().unwrap()),
        websocket: callback.is_none(),
        expires: None,
        filter: Value::Null,
        href: "https://box.test/mec_app_support/v1/subscriptions/1".to_owned(),
        created: START,
    }
}
