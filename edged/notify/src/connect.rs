//! A connection to a callback: name, policy, TCP, TLS, HTTP/1.1, each within its time.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use bytes::Bytes;
use edged_model::InstanceId;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Callback;
use crate::counters::Counters;
use crate::limits::Limits;
use crate::places::{Place, Places};
use crate::tls::Trust;

/// Connections of the box: more than subscribers are told something at one moment, and no burden if they hang.
const CONNECTIONS_MAX: usize = 256;
/// Connections of one application: its dead callbacks take no more.
const CONNECTIONS_OF_ONE: usize = 16;
/// Names being asked for. A resolver that hangs holds a thread for each.
const LOOKUPS_MAX: usize = 16;
/// Of one application.
const LOOKUPS_OF_ONE: usize = 2;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// The head of an answer: a status and a handful of fields.
const HEAD_MAX: usize = 16 * 1024;

/// Subscriptions that have ended and whose last notifications are still under way.
const ENDINGS_MAX: usize = 64;

/// What the node knows of names and of who may reach what.
pub trait Reach: Send + Sync + 'static {
    /// The addresses of a name (in lower case, without a final dot) that is the node's own to answer, of which there
    /// may be none; or `None` when the name is not in its zone and the system is asked.
    fn lookup(&self, host: &str) -> Option<Vec<IpAddr>>;

    /// Whether the owner of a subscription may reach this address. `None` is who holds the token of all. Asked
    /// before every connection and every use of one, with the address that it goes to.
    fn permits(&self, owner: Option<&InstanceId>, to: SocketAddr) -> bool;
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{host} has no address: {source}")]
    Name { host: String, source: io::Error },
    #[error("there is no {0} in the zone")]
    Unknown(String),
    #[error("{0} may not be reached by the owner of the subscription")]
    Refused(SocketAddr),
    #[error("{to} cannot be reached: {source}")]
    Unreachable { to: SocketAddr, source: io::Error },
    #[error("no TLS with {host}: {source}")]
    Tls { host: String, source: io::Error },
    #[error("the authorities for TLS cannot be used: {0}")]
    Trust(String),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("not connected in time")]
    Slow,
}

/// A byte stream in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that a request can be sent on. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What was permitted.
    pub(crate) to: SocketAddr,
    pub(crate) sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends when the connection does.
    pub(crate) driver: JoinHandle<()>,
    pub(crate) place: Place,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What every lane shares.
pub(crate) struct Outbound {
    pub(crate) reach: Arc<dyn Reach>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Places for lanes that send their last.
    pub(crate) endings: Arc<Semaphore>,
    trust: Trust,
    connections: Places,
    lookups: Places,
}

impl Outbound {
    pub(crate) fn new(reach: Arc<dyn Reach>, limits: Limits, trust: Trust) -> Self {
        Self {
            reach,
            limits,
            trust,
            counters: Counters::default(),
            endings: Arc::new(Semaphore::new(ENDINGS_MAX)),
            connections: Places::new(CONNECTIONS_MAX, CONNECTIONS_OF_ONE),
            lookups: Places::new(LOOKUPS_MAX, LOOKUPS_OF_ONE),
        }
    }

    /// Waits for a place, then connects within [`Limits::connect`].
    pub(crate) async fn connect(
        &self,
        owner: Option<&InstanceId>,
        callback: &Callback,
    ) -> Result<Connection, ConnectError> {
        let place = self.connections.take(owner).await;
        let connecting = async {
            let (to, stream) = self.dial(owner, callback).await?;
            let (sender, connection) = Builder::new()
                .max_buf_size(HEAD_MAX)
                .handshake(TokioIo::new(stream))
                .await?;
            let driver = tokio::spawn(async {
                // Whoever sent the request hears of the error too.
                let _ = connection.await;
            });
            Ok(Connection {
                to,
                sender,
                driver,
                place,
            })
        };
        timeout(self.limits.connect, connecting)
            .await
            .unwrap_or(Err(ConnectError::Slow))
    }

    async fn dial(
        &self,
        owner: Option<&InstanceId>,
        callback: &Callback,
    ) -> Result<(SocketAddr, Box<dyn Io>), ConnectError> {
        let (to, stream) = self.tcp(owner, callback).await?;
        // A notification is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        if !callback.is_https() {
            return Ok((to, Box::new(stream)));
        }
        let tls = |source| ConnectError::Tls {
            host: callback.host().to_owned(),
            source,
        };
        let name = ServerName::try_from(callback.host().to_owned())
            .map_err(|error| tls(io::Error::other(error)))?;
        let stream = self.trust.shake(name, stream).await?.map_err(tls)?;
        Ok((to, Box::new(stream)))
    }

    async fn tcp(
        &self,
        owner: Option<&InstanceId>,
        callback: &Callback,
    ) -> Result<(SocketAddr, TcpStream), ConnectError> {
        let mut failure = ConnectError::Unknown(callback.host().to_owned());
        let addresses = self.addresses(owner, callback.host()).await?;
        // One address that swallows packets leaves time for the others.
        let count = u32::try_from(addresses.len().clamp(1, ADDRESSES_MAX)).unwrap_or(1);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            // ::ffff:127.0.0.1 is 127.0.0.1, and is judged as such.
            let to = SocketAddr::new(address.to_canonical(), callback.port());
            if !self.reach.permits(owner, to) {
                failure = ConnectError::Refused(to);
                continue;
            }
            match timeout(self.limits.connect / count, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => return Ok((to, stream)),
                Ok(Err(source)) => failure = ConnectError::Unreachable { to, source },
                Err(_) => failure = ConnectError::Slow,
            }
        }
        Err(failure)
    }

    async fn addresses(
        &self,
        owner: Option<&InstanceId>,
        host: &str,
    ) -> Result<Vec<IpAddr>, ConnectError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if let Some(known) = self.reach.lookup(host) {
            return Ok(known);
        }
        // The thread keeps the place, even when nobody waits for its answer any more.
        let place = self.lookups.take(owner).await;
        let name = host.to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(place);
            found.map(|found| found.map(|found| found.ip()).collect())
        });
        let failed = |source| ConnectError::Name {
            host: host.to_owned(),
            source,
        };
        asking
            .await
            .map_err(|error| failed(io::Error::other(error)))?
            .map_err(failed)
    }
}
