//! The listeners and the clients they bring.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use edged_authority::Sign;
use edged_console::Platform;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::bounds::{
    ACCEPT_PAUSE, ATTEMPTS, CONNECTIONS, EVENTS, FAREWELL, IDLE, KEEPALIVE, KEEPALIVES, PACKET,
    REFUSAL_TIME, STRANGERS, WINDOW,
};
use crate::certificate::Authority;
use crate::connection::Connection;
use crate::host_certificate::Voucher;
use crate::intake::{Gate, Gated};
use crate::operators::Keys;
use crate::{HostKey, SshConfig, SshError, algorithms};

/// An open door that nobody has passed yet.
#[derive(Debug)]
pub struct SshServer {
    listeners: Vec<TcpListener>,
    config: Arc<Config>,
    key: PrivateKey,
    host_key: PublicKey,
    keys: Keys,
    upload: Option<Arc<Path>>,
    voucher: Option<Arc<Voucher>>,
    authority: Option<Arc<Authority>>,
}

impl SshServer {
    /// Listens. Clients wait until [`run`](Self::run).
    pub async fn bind(config: SshConfig) -> Result<Self, SshError> {
        let SshConfig {
            host_key: HostKey(key),
            listen,
            authorized_keys,
            commissioning,
        } = config;
        let keys = Keys {
            operators: authorized_keys,
            commissioning,
        };
        let mut listeners = Vec::with_capacity(listen.len());
        for address in listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| SshError::Listen { address, source })?;
            listeners.push(listener);
        }
        Ok(Self {
            listeners,
            host_key: key.public_key().clone(),
            config: Arc::new(offer(key.clone(), Vec::new())),
            key,
            keys,
            upload: None,
            voucher: None,
            authority: None,
        })
    }

    /// Lets operators put one file there by SFTP.
    #[must_use]
    pub fn taking_uploads(self, to: Option<&Path>) -> Self {
        Self {
            upload: to.map(Arc::from),
            ..self
        }
    }

    /// Lets in whoever has a certificate of this authority, as long as the box has operators, and shows one of it: for
    /// these names and for every address where somebody came.
    #[must_use]
    pub fn certified_by(self, authority: Arc<dyn Sign>, names: Vec<String>) -> Self {
        let known = Authority::new(&authority.public()).map(Arc::new);
        let voucher = Voucher::new(authority, names, self.key.clone(), SystemTime::now);
        Self {
            authority: known,
            voucher: Some(Arc::new(voucher)),
            ..self
        }
    }

    /// The addresses it listens on, ports filled in.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// The public host key, as a line of `known_hosts` without its host: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> &PublicKey {
        &self.host_key
    }

    /// The public host key as the line of a `.pub` file.
    pub fn host_key_line(&self) -> Result<String, String> {
        let line = self
            .host_key
            .to_openssh()
            .map_err(|error| error.to_string())?;
        Ok(format!("{line}\n"))
    }

    /// Serves until `shutdown` ends; then the clients' connections end too.
    pub async fn run<P: Platform>(self, platform: Arc<P>, shutdown: impl Future<Output = ()>) {
        info!(
            addresses = ?self.addresses(),
            host_key = %self.host_key.fingerprint(HashAlg::Sha256),
            "the ssh door is open"
        );
        let Self {
            listeners,
            config,
            keys,
            upload,
            voucher,
            authority,
            ..
        } = self;
        let door = Arc::new(Door {
            config,
            keys,
            upload,
            voucher,
            authority,
            platform,
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        let (closing, closed) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, Arc::clone(&door), closed.clone()));
        }
        shutdown.await;
        closing.send_replace(true);
        let farewell = tokio::time::timeout(FAREWELL, async {
            while accepting.join_next().await.is_some() {}
        });
        if farewell.await.is_err() {
            debug!("some ssh clients did not leave in time");
        }
    }
}

/// What every client is served with: the key, and certificates of it.
pub(crate) fn offer(key: PrivateKey, certificates: Vec<Certificate>) -> Config {
    Config {
        // Says what it is, and nothing about versions.
        server_id: SshId::Standard("SSH-2.0-edged".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REFUSAL_TIME,
        auth_rejection_time_initial: Some(std::time::Duration::ZERO),
        keys: vec![key],
        certificates,
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        event_buffer_size: EVENTS,
        preferred: algorithms::preferred(),
        max_auth_attempts: ATTEMPTS,
        // A followed log may be silent for hours: answered keepalives count as activity.
        inactivity_timeout: Some(IDLE),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..Config::default()
    }
}

/// What every client shares.
struct Door<P> {
    config: Arc<Config>,
    keys: Keys,
    upload: Option<Arc<Path>>,
    voucher: Option<Arc<Voucher>>,
    authority: Option<Arc<Authority>>,
    platform: Arc<P>,
    strangers: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl<P> Door<P> {
    /// With a certificate where there is one: whoever trusts the key itself needs none.
    async fn config_at(&self, stream: &TcpStream) -> Arc<Config> {
        let plain = || Arc::clone(&self.config);
        let Some(voucher) = self.voucher.clone() else {
            return plain();
        };
        let at = stream.local_addr().ok().map(|address| address.ip());
        match tokio::task::spawn_blocking(move || voucher.config(at)).await {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => {
                warn!("the ssh door has no certificate: {error}");
                plain()
            }
            Err(_) => plain(),
        }
    }
}

async fn accept<P: Platform>(
    listener: TcpListener,
    door: Arc<Door<P>>,
    mut closed: watch::Receiver<bool>,
) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Also when the server is gone altogether.
            _ = closed.wait_for(|closed| *closed) => break,
            Some(_) = clients.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("cannot accept an ssh client: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&door.strangers).try_acquire_owned() {
            Ok(stranger) => {
                let client = serve(Arc::clone(&door), stream, peer, stranger, closed.clone());
                clients.spawn(client);
            }
            Err(_) => turn_away(&stream, peer),
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// A line before the version is allowed (RFC 4253, 4.2); whoever looks closely reads why.
fn turn_away(stream: &TcpStream, peer: SocketAddr) {
    debug!(%peer, "too many strangers: one was turned away");
    let _ = stream.try_write(b"too many clients have not logged in yet, try again\r\n");
}

async fn serve<P: Platform>(
    door: Arc<Door<P>>,
    stream: TcpStream,
    peer: SocketAddr,
    stranger: OwnedSemaphorePermit,
    mut closed: watch::Receiver<bool>,
) {
    // Answers are short and wanted now; where it cannot be had, they are only slower.
    let _ = stream.set_nodelay(true);
    let config = door.config_at(&stream).await;
    let gate = Arc::new(Gate::default());
    let connection = Connection {
        platform: Arc::clone(&door.platform),
        keys: door.keys.clone(),
        upload: door.upload.clone(),
        authority: door.authority.clone(),
        standing: None,
        peer,
        gate: Arc::clone(&gate),
        stranger: Some(stranger),
        places: Arc::clone(&door.places),
        place: None,
        channels: HashMap::new(),
        verbs: JoinSet::new(),
    };
    let stream = Gated::new(stream, Arc::clone(&gate));
    let serving = async { run_stream(config, stream, connection).await?.await };
    tokio::pin!(serving);
    let closing = async { closed.wait_for(|closed| *closed).await.is_ok() };
    let ended: Option<Result<(), russh::Error>> = tokio::select! {
        ended = &mut serving => Some(ended),
        _ = closing => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        gate.close();
        serving.await
    };
    if let Err(error) = ended {
        debug!(%peer, "an ssh connection ended: {error}");
    }
}
