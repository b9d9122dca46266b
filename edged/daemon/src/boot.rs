//! From the configuration to a running node, and from a signal to its end. The order is the list in [`run`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use edged_config::Config;
use edged_image::{ContentStore, Credential, Puller, PullerConfig};
use edged_mqtt::{BrokerClient, BrokerConfig};
use edged_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::announce::Announcer;
use crate::door::Door;
use crate::interfaces;
use crate::link::broker;
use crate::link::guardian::{self, Guardian};

use crate::link::worker::{self, Worker};
use crate::listeners::{self, Listeners};
use crate::machine::Machine;
use crate::prepare;
use crate::reach::NodeReach;
use crate::reconcile::{MESSAGES, Means, Reconciler};
use crate::registry::Registry;
use crate::renewal::{self, BrokerCertificate};
use crate::snapshot::Snapshot;
use crate::trust::Trust;
use crate::update::Updates;
use crate::watchdog;

/// Why the node does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Keys and certificates.
    #[error(transparent)]
    Prepare(#[from] prepare::PrepareError),
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] edged_trust::TrustError),
    /// A key.
    #[error(transparent)]
    Own(#[from] crate::trust::KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] edged_store::StoreError),
    /// The content store or the registries.
    #[error(transparent)]
    Image(#[from] edged_image::ImageError),
    /// The address plan.
    #[error(transparent)]
    Network(#[from] edged_config::NetworkError),
    /// The resolver.
    #[error(transparent)]
    Dns(#[from] edged_dns::StartError),
    /// The certificates.
    #[error(transparent)]
    Authority(#[from] edged_authority::AuthorityError),
    /// The packages.
    #[error(transparent)]
    Packages(#[from] edged_mec::package_management::PackagesError),
    /// Notifications.
    #[error(transparent)]
    Notify(#[from] edged_notify::NotifyError),
    /// The door.
    #[error(transparent)]
    Ssh(#[from] edged_ssh::SshError),
    /// The broker's account.
    #[error("mqtt.username: {0}")]
    Username(#[from] edged_mqtt::ParseUsernameError),
    /// A listener.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Which key of the configuration.
        purpose: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The host key cannot be written as text.
    #[error("the host key for {path} cannot be written: {reason}")]
    Key {
        /// The public key's file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// A file named in the configuration.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs the node until SIGTERM or SIGINT. Applications go on.
pub async fn run(config: Config) -> Result<(), BootError> {
    let config = Arc::new(config);
    let addressing = Arc::new(config.addressing()?);

    // 1. What must be in the TPM and on the disk.
    let trust = Trust::open(Arc::clone(&config))?;
    prepare::prepare(&config, &addressing, &trust)?;
    let tokens = Arc::new(prepare::tokens(&config, &trust)?);
    let store = Store::open(&config.node.database())?;
    let images = ContentStore::guarded(&config.node.content(), prepare::image_trust(&config)?)?;
    let puller = Puller::new(images.clone(), registries(&config)?)?;

    // 2. The listeners: whatever cannot be had is said before anything is changed.
    let Listeners { dns, http, ssh } = listeners::bind(&config, &addressing, &trust).await?;
    let directory = dns.directory();

    // 3. The parts, each a task that this function owns and joins.
    let (stop, stopped) = watch::channel(false);
    let (mailbox, messages) = mpsc::channel(MESSAGES);
    let (snapshot, reader) = watch::channel(Arc::new(Snapshot::default()));
    let (pictures, picture) = watch::channel(Arc::new(edged_mec::Picture::default()));
    let (broker, broker_task) = BrokerClient::connect(account(&config)?);
    let means = Means {
        worker: Worker::at(config.node.worker_socket()),
        guardian: Guardian::at(config.node.guardian_socket()),
        broker: broker.clone(),
        images,
        config: Arc::clone(&config),
        addressing: Arc::clone(&addressing),
    };
    let announcer = Announcer::new(
        directory.clone(),
        broker.clone(),
        edged_config::Addressing::clone(&addressing),
    );
    let database = store.reads()?;
    let reconciler = Reconciler::new(
        means.clone(),
        store,
        announcer,
        (mailbox.clone(), messages),
        (snapshot, pictures),
    )?;
    let puller = Arc::new(puller);
    let mut background = JoinSet::new();
    let updates = Updates::start(&config, &reader, database, &mut background);
    let registry = Registry::new(
        means.clone(),
        (trust.clone(), updates.clone()),
        Arc::clone(&puller),
        mailbox.clone(),
        (reader.clone(), picture.clone()),
        directory.clone(),
    );
    let reach = NodeReach::new(
        config.node.zone(),
        directory,
        Arc::clone(&addressing),
        picture,
    );
    let own = prepare::identity(&config, &addressing, &trust)?;
    let mec = interfaces::open(&config, &addressing, registry, reach, own)?;
    let router = edged_mec::router(Arc::clone(&mec), tokens);
    let restart = Arc::new(Notify::new());
    let door = Door::new(
        means.clone(),
        (
            Machine::new(Arc::clone(&config), Arc::clone(&restart)),
            trust.clone(),
            updates,
        ),
        puller,
        mailbox.clone(),
        reader.clone(),
        Arc::clone(&mec),
    );

    interfaces::attend(&mec, &mut background);
    let certificate = BrokerCertificate::open(&config, &addressing, &trust)?;
    background.spawn(renewal::keep(certificate, broker.clone()));
    background.spawn(broker_task.run());
    background.spawn(worker::keep(means.worker.clone(), mailbox.clone()));
    background.spawn(guardian::keep(means.guardian.clone(), mailbox.clone()));
    let (operator, password) = prepare::mqtt_operator(&config)?;
    background.spawn(broker::watch(
        broker,
        (operator.parse()?, password),
        mailbox.clone(),
    ));
    let mut serving = JoinSet::new();
    serving.spawn(dns.run(until(stopped.clone())));
    listeners::serve(http, &router, &stopped, &mut serving);
    serving.spawn(ssh.run(Arc::new(door), until(stopped.clone())));
    let reconciling = tokio::spawn(reconciler.run(stopped.clone()));

    // 4. Until somebody says otherwise.
    let watchdog = background.spawn(watchdog::feed(mailbox, reader));
    tracing::info!(zone = config.node.zone(), "serving");
    end(&restart).await?;
    tracing::info!("ending; applications go on");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    watchdog.abort();
    stop.send_replace(true);
    while serving.join_next().await.is_some() {}
    // A panic of the reconciler was logged by its hook; there is nothing left to save.
    let _ = reconciling.await;
    background.shutdown().await;
    Ok(())
}

/// Waits for a signal, or for a change that takes effect at the next start.
async fn end(restart: &Notify) -> Result<(), BootError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(BootError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BootError::Signal)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = restart.notified() => tracing::info!("starting anew, as an operator's change asks for it"),
    }
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as `run`; its end is the end as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// edged's account on the broker.
fn account(config: &Config) -> Result<BrokerConfig, BootError> {
    Ok(BrokerConfig {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        username: config.mqtt.username.parse()?,
        password: prepare::mqtt_password(config)?,
    })
}

fn registries(config: &Config) -> Result<PullerConfig, BootError> {
    let mut credentials = BTreeMap::new();
    for (registry, account) in &config.registries.credentials {
        let password =
            std::fs::read_to_string(&account.password_file).map_err(|source| BootError::File {
                path: account.password_file.clone(),
                source,
            })?;
        let credential = Credential {
            username: account.username.clone(),
            password: password.trim_end().to_owned(),
        };
        credentials.insert(registry.clone(), credential);
    }
    Ok(PullerConfig {
        insecure: config.registries.insecure.clone(),
        ca: config.registries.ca.clone(),
        credentials,
        ..PullerConfig::default()
    })
}
