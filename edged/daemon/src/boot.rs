//! From the configuration to a running node, and from a signal to its end. The order is the list in [`run`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edged_config::Config;
use edged_dns::{DnsConfig, DnsServer, Subnet};
use edged_image::{ContentStore, Credential, Puller, PullerConfig};
use edged_mqtt::{BrokerClient, BrokerConfig, ConnectionState, Username};
use edged_protocol::Secret;
use edged_ssh::{SshConfig, SshServer};
use edged_store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::announce::Announcer;
use crate::door::Door;
use crate::link::guardian::{self, Guardian};
use crate::link::worker::{self, Worker};
use crate::prepare;
use crate::reconcile::{MESSAGES, Mailbox, Means, Message, Reconciler};
use crate::registry::Registry;
use crate::snapshot::Snapshot;

/// Why the node does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Keys and certificates.
    #[error(transparent)]
    Prepare(#[from] prepare::PrepareError),
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
    Authority(#[from] edged_mec::AuthorityError),
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

/// How long the gateway's address is waited for: the guardian makes it within milliseconds of its own start.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at it.
const GATEWAY_PACE: Duration = Duration::from_millis(20);

/// Runs the node until SIGTERM or SIGINT. Applications go on.
pub async fn run(config: Config) -> Result<(), BootError> {
    let config = Arc::new(config);
    let addressing = Arc::new(config.addressing()?);

    // 1. What must be on the disk.
    prepare::prepare(&config, &addressing)?;
    let authority = prepare::authority(&config, &addressing)?;
    let tokens = Arc::new(prepare::tokens(&config)?);
    let store = Store::open(&config.node.database())?;
    let images = ContentStore::open(&config.node.content())?;
    let puller = Puller::new(images.clone(), registries(&config)?)?;

    // 2. The listeners: whatever cannot be had is said before anything is changed.
    let gateway = |port| SocketAddr::new(addressing.gateway4.into(), port);
    await_gateway(gateway(0)).await;
    let mut dns_listen = vec![gateway(53), SocketAddr::new(addressing.gateway6.into(), 53)];
    dns_listen.extend_from_slice(&config.dns.listen);
    let subnets = [
        Subnet::new(addressing.subnet4.0.into(), addressing.subnet4.1),
        Subnet::new(addressing.subnet6.0.into(), addressing.subnet6.1),
    ];
    let dns = DnsServer::bind(DnsConfig {
        zone: config.node.zone(),
        listen: dns_listen,
        upstreams: config.dns.upstreams.clone(),
        subnets: subnets
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(edged_dns::StartError::from)?,
    })
    .await?;
    let directory = dns.directory();
    let mut http = vec![(
        listen(gateway(config.http.app_port), "http.app_port").await?,
        None,
    )];
    for address in &config.http.plain {
        http.push((listen(*address, "http.plain").await?, None));
    }
    for address in &config.http.listen {
        http.push((
            listen(*address, "http.listen").await?,
            Some(authority.server_config()?),
        ));
    }
    let folder = prepare::folder(&config);
    let ssh = SshServer::bind(SshConfig {
        listen: config.ssh.listen.clone(),
        host_key: folder.join("ssh_host_key"),
        authorized_keys: config
            .ssh
            .authorized_keys
            .clone()
            .unwrap_or_else(|| folder.join("authorized_keys")),
    })
    .await?;
    // Whoever prepares known_hosts reads it here; a line like ssh-keygen's.
    let public = folder.join("ssh_host_key.pub");
    let line = ssh.host_key_line().map_err(|reason| BootError::Key { path: public.clone(), reason })?;
    std::fs::write(&public, line).map_err(|source| BootError::File { path: public, source })?;

    // 3. The parts, each a task that this function owns and joins.
    let (stop, stopped) = watch::channel(false);
    let (mailbox, messages) = mpsc::channel(MESSAGES);
    let (snapshot, reader) = watch::channel(Arc::new(Snapshot::default()));
    let (broker, broker_task) = BrokerClient::connect(BrokerConfig {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        username: config.mqtt.username.parse()?,
        password: prepare::mqtt_password(&config)?,
    });
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
    let reconciler = Reconciler::new(
        means.clone(),
        store,
        announcer,
        (mailbox.clone(), messages),
        snapshot,
    )?;
    let registry = Registry::new(mailbox.clone(), reader.clone(), directory);
    let router = edged_mec::router(registry, tokens, &config.http.prefix);
    let door = Door::new(means.clone(), puller, mailbox.clone(), reader.clone());

    let mut background = JoinSet::new();
    background.spawn(broker_task.run());
    background.spawn(worker::keep(means.worker.clone(), mailbox.clone()));
    background.spawn(guardian::keep(means.guardian.clone(), mailbox.clone()));
    let (operator, password) = prepare::mqtt_operator(&config)?;
    background.spawn(watch_broker(broker, (operator.parse()?, password), mailbox));
    let mut serving = JoinSet::new();
    serving.spawn(dns.run(until(stopped.clone())));
    for (listener, tls) in http {
        serving.spawn(edged_mec::serve::serve(
            listener,
            tls,
            router.clone(),
            stopped.clone(),
        ));
    }
    serving.spawn(ssh.run(Arc::new(door), until(stopped.clone())));
    let reconciling = tokio::spawn(reconciler.run(stopped.clone()));

    // 4. Until somebody says otherwise.
    let watchdog = background.spawn(feed_watchdog(reader));
    let mut terminate = signal(SignalKind::terminate()).map_err(BootError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BootError::Signal)?;
    tracing::info!(zone = config.node.zone(), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
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

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as `run`; its end is the end as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, BootError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BootError::Listen {
            address,
            purpose,
            source,
        })
}

/// The gateway's address appears when the guardian starts; after the wait, binding says what is wrong.
async fn await_gateway(address: SocketAddr) {
    let there = async {
        while TcpListener::bind(address).await.is_err() {
            tokio::time::sleep(GATEWAY_PACE).await;
        }
    };
    if tokio::time::timeout(GATEWAY_PATIENCE, there).await.is_err() {
        tracing::error!(%address, "the gateway's address is not there; does edged-guardian run?");
    }
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
        insecure: config.registries.insecure.iter().cloned().collect(),
        ca: config.registries.ca.clone(),
        credentials,
        ..PullerConfig::default()
    })
}

/// Tells the reconciler when the broker answers, with what is there, and when it does not.
async fn watch_broker(broker: BrokerClient, operator: (Username, Secret), mailbox: Mailbox) {
    let mut state = broker.state();
    loop {
        let now = state.borrow_and_update().clone();
        let message = match now {
            ConnectionState::Disconnected { reason, .. } => Message::BrokerDown(reason.to_string()),
            ConnectionState::Connected { .. } => {
                let accounts = async {
                    broker.bootstrap().await?;
                    broker.apply_operator(&operator.0, &operator.1).await?;
                    broker.observe_accounts().await
                };
                match accounts.await {
                    Ok(accounts) => Message::BrokerUp(accounts),
                    Err(error) => Message::BrokerDown(error.to_string()),
                }
            }
        };
        if mailbox.send(message).await.is_err() || state.changed().await.is_err() {
            return;
        }
    }
}

/// Says READY after the first picture of a seen world, then feeds the watchdog, each time only after the reconciler
/// has finished a turn since.
async fn feed_watchdog(mut reader: watch::Receiver<Arc<Snapshot>>) {
    let seen = reader
        .wait_for(|now| now.worker.is_some() && now.guardian)
        .await
        .is_ok();
    if seen {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    }
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(interval / 2).await;
        // The reconciler shows a picture each turn and takes one at least every half minute.
        if reader.has_changed().unwrap_or(false) {
            reader.mark_unchanged();
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}
