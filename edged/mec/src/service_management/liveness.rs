//! Heartbeats: who sends them, and who has stopped.
//!
//! Deadlines are of the monotonic clock and not kept: after a restart everybody has one whole interval. What follows
//! from a missed one is kept, because it is the service's state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mec_api::common::TimeStamp;
use mec_api::service_management::{ServiceInfo, ServiceLivenessInfo, ServiceState};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Mec, Platform, RegisteredService};

/// How long a heartbeat that was sent in time may be under way.
const GRACE: Duration = Duration::from_millis(500);
/// After a suspension that could not be written: long enough that a full disk does not spin.
const AGAIN: Duration = Duration::from_secs(5);

/// The last heartbeat of every service that promised some.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    known: Mutex<HashMap<String, Beat>>,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Beat {
    /// Seconds.
    interval: u64,
    /// When it came; where none came yet, when the count began.
    came: TimeStamp,
    deadline: Instant,
}

impl Beat {
    fn now(interval: u64) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            interval,
            came: TimeStamp {
                seconds: u32::try_from(now.unix_timestamp()).unwrap_or(0),
                nano_seconds: now.nanosecond(),
            },
            deadline: Instant::now() + Duration::from_secs(interval) + GRACE,
        }
    }
}

impl Beats {
    /// A sign of life: the interval begins anew.
    pub fn heard(&self, service: &RegisteredService) {
        if let Some(interval) = service.info.liveness_interval {
            self.known().insert(service.id.clone(), Beat::now(interval));
            self.changed.notify_one();
        }
    }

    /// What is known of a service's heartbeats; none for one that promised none.
    pub fn of(&self, service: &RegisteredService) -> Option<ServiceLivenessInfo> {
        let interval = service.info.liveness_interval?;
        let mut known = self.known();
        let beat = known.entry(service.id.clone());
        let beat = beat.or_insert_with(|| Beat::now(interval));
        Some(ServiceLivenessInfo {
            state: service.state(),
            time_stamp: beat.came.clone(),
            interval,
        })
    }

    /// Forgets services that are gone, begins with those that are new, and says when the next heartbeat is due.
    fn follow(&self, services: &[Arc<RegisteredService>]) -> Option<Instant> {
        let mut known = self.known();
        let promised = || {
            services
                .iter()
                .filter(|it| it.info.liveness_interval.is_some())
        };
        known.retain(|id, _| promised().any(|service| service.id == *id));
        let mut next = None;
        for service in promised() {
            let interval = service.info.liveness_interval.unwrap_or_default();
            let beat = known.entry(service.id.clone());
            let beat = beat.or_insert_with(|| Beat::now(interval));
            if beat.interval != interval {
                *beat = Beat::now(interval);
            }
            // Only who is ACTIVE can be suspended.
            if service.state() == ServiceState::Active {
                next = Some(next.map_or(beat.deadline, |other: Instant| other.min(beat.deadline)));
            }
        }
        next
    }

    fn is_overdue(&self, id: &str) -> bool {
        let now = Instant::now();
        self.known()
            .get(id)
            .is_some_and(|beat| beat.deadline <= now)
    }

    fn postpone(&self, id: &str) {
        if let Some(beat) = self.known().get_mut(id) {
            beat.deadline = Instant::now() + AGAIN;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Beat>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Suspends services whose heartbeats stay away, as long as the platform is there.
pub async fn watch_heartbeats<P: Platform>(mec: Arc<Mec<P>>) {
    let mut pictures = mec.platform.pictures();
    loop {
        let picture = Arc::clone(&pictures.borrow_and_update());
        let next = mec.registry.beats.follow(&picture.services);
        // Cancel-safe: nothing is taken but wake-ups.
        tokio::select! {
            changed = pictures.changed() => if changed.is_err() { return },
            () = mec.registry.beats.changed.notified() => {}
            () = until(next) => suspend_overdue(&mec).await,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn suspend_overdue<P: Platform>(mec: &Mec<P>) {
    let _turn = mec.registry.writing.lock().await;
    let picture = mec.platform.picture();
    for service in &picture.services {
        let is_silent = service.state() == ServiceState::Active
            && service.info.liveness_interval.is_some()
            && mec.registry.beats.is_overdue(&service.id);
        if !is_silent {
            continue;
        }
        tracing::info!(service = %service.id, name = service.name(), "no heartbeat; suspended");
        let suspended = with_state(service, ServiceState::Suspended);
        if let Err(problem) = mec.platform.put_service(suspended).await {
            tracing::warn!(service = %service.id, %problem, "a silent service was not suspended");
            mec.registry.beats.postpone(&service.id);
        }
    }
}

/// The same service in another state.
pub(crate) fn with_state(service: &RegisteredService, state: ServiceState) -> RegisteredService {
    RegisteredService {
        info: ServiceInfo {
            state,
            ..service.info.clone()
        },
        ..service.clone()
    }
}
