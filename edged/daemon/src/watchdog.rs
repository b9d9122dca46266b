//! systemd's view: READY when the world is seen, and the watchdog fed by the reconciler's own turns (`sd_notify(3)`).

use std::time::Duration;

use crate::reconcile::{Mailbox, Message};
use crate::snapshot::Reader;

/// Longest wait for the wanted policy and the broker before READY: they start beside us, and are there in milliseconds
/// where they come at all.
const SETTLING: Duration = Duration::from_secs(5);

/// Says READY after the first picture of a seen world. Then feeds the watchdog, each time only after the reconciler has
/// answered a pulse with a full turn.
pub async fn feed(mailbox: Mailbox, mut reader: Reader) {
    if reader
        .wait_for(|now| now.worker.is_some() && now.guardian.is_some())
        .await
        .is_err()
    {
        return;
    }
    // What was in force before a restart is again; where the kernel refuses it or the broker stays away, /readyz says so
    // and the rest goes on.
    let settled = reader.wait_for(|now| now.settled && now.broker.is_ok());
    let _ = tokio::time::timeout(SETTLING, settled).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        tokio::time::sleep(interval / 2).await;
        reader.mark_unchanged();
        if mailbox.send(Message::Pulse).await.is_err() || reader.changed().await.is_err() {
            return;
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}
