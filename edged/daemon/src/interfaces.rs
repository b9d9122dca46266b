//! The MEC interfaces put together: subscriptions, their deliverer, and the facts of the node.

use std::sync::Arc;

use edged_config::{Addressing, Config};
use edged_mec::package_management::PackageManagement;
use edged_mec::{Facts, Mec};
use edged_notify::{Deliverer, Identity, Limits, Subscriptions, SystemClock};
use edged_store::Store;
use tokio::task::JoinSet;

use crate::boot::BootError;
use crate::prepare;
use crate::reach::NodeReach;
use crate::registry::Registry;

/// Opens them over the node. Each part has a connection of its own to the state: all are used on one thread, and no
/// transaction outlives a call.
pub fn open(
    config: &Config,
    addressing: &Addressing,
    registry: Registry,
    reach: NodeReach,
    own: Identity,
) -> Result<Arc<Mec<Registry>>, BootError> {
    let authorities = match &config.notifications.ca {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|source| BootError::File {
            path: path.clone(),
            source,
        })?),
    };
    let deliverer = Deliverer::new(
        Arc::new(reach),
        authorities.as_deref(),
        Some(own),
        Limits::default(),
    )?;
    let subscriptions = Subscriptions::open(
        Store::open(&config.node.database())?,
        deliverer.clone(),
        Arc::new(SystemClock),
    )?;
    let own = prepare::folder(config);
    let signers = config.packages.signers.clone();
    let facts = Facts {
        zone: config.node.zone(),
        app_host: host(addressing, config.http.app_port),
        prefix: config.http.prefix.clone(),
        broker: format!("mqtt://{}:{}", addressing.gateway4, config.mqtt.app_port),
        packages: config.node.packages(),
        signers: signers.unwrap_or_else(|| own.join("signers")),
        unsigned_packages: config.packages.accept_unsigned,
    };
    let store = Store::open(&config.node.database())?;
    let mec = Mec::new(
        registry,
        Arc::new(subscriptions),
        deliverer,
        facts,
        prepare::marker_key(config)?,
        store,
    );
    // What a crash left half done is undone before anybody can ask.
    PackageManagement::new(Arc::clone(&mec)).restore()?;
    mec.restore_instances()?;
    Ok(mec)
}

/// Starts what works beside requests: deadlines, news, operations and heartbeats.
pub fn attend(mec: &Arc<Mec<Registry>>, background: &mut JoinSet<()>) {
    let subscriptions = Arc::clone(&mec.subscriptions);
    background.spawn(async move { subscriptions.run_expiry().await });
    background.spawn(edged_mec::tell_news(Arc::clone(mec)));
    background.spawn(edged_mec::run_operations(Arc::clone(mec)));
    background.spawn(edged_mec::watch_instances(Arc::clone(mec)));
    background.spawn(edged_mec::watch_heartbeats(Arc::clone(mec)));
}

fn host(addressing: &Addressing, port: u16) -> String {
    match port {
        80 => addressing.gateway4.to_string(),
        port => format!("{}:{port}", addressing.gateway4),
    }
}
