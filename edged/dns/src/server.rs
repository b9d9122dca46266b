//! The listeners and their tasks.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tracing::error;

use crate::directory::Directory;
use crate::domain::{DomainError, Subnet, Zone};
use crate::responder::Responder;
use crate::table::PublishError;
use crate::{tcp, udp};

/// How often to look for a port that is free for both UDP and TCP when the kernel may choose.
const FREE_PORT_TRIES: usize = 16;

/// What the resolver is for and where it listens.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The zone of this site, e.g. `edge.mec.internal`.
    pub zone: String,
    /// Where to listen, UDP and TCP each. Port 0 takes one that is free for both. The addresses are also those of
    /// `ns.ZONE`, so wildcards make a name server without address.
    pub listen: Vec<SocketAddr>,
    /// Who is asked for names of others, in this order; empty answers such questions with SERVFAIL.
    pub upstreams: Vec<SocketAddr>,
    /// The networks of the applications: their reverse zones are ours.
    pub subnets: Vec<Subnet>,
}

/// Why the resolver does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The zone or a subnet is none.
    #[error(transparent)]
    Zone(#[from] DomainError),
    /// The empty zone does not even fit.
    #[error(transparent)]
    Table(#[from] PublishError),
    /// An address is taken, absent, or a port below 1024 without the right to it.
    #[error(
        "cannot listen on {address} ({transport}): {source}; free it or choose another in dns.listen"
    )]
    Listen {
        /// The address from the configuration.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

/// The bound resolver. It answers once [`DnsServer::run`] is polled; until then questions wait in the sockets.
#[derive(Debug)]
pub struct DnsServer {
    directory: Directory,
    upstreams: Vec<SocketAddr>,
    listeners: Vec<(UdpSocket, TcpListener)>,
    addresses: Vec<SocketAddr>,
}

impl DnsServer {
    /// Binds all addresses, with an empty view published.
    ///
    /// # Errors
    /// [`StartError`], which names the address that cannot be had.
    pub async fn bind(config: DnsConfig) -> Result<Self, StartError> {
        let zone = Zone::new(&config.zone, &config.subnets)?;
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in config.listen {
            listeners.push(bind_both(address).await?);
        }
        Self::with_sockets(zone, listeners, config.upstreams)
    }

    /// Takes sockets that are bound already, such as those that a service manager passed on.
    ///
    /// # Errors
    /// A socket without an address of its own.
    pub fn with_sockets(
        zone: Zone,
        listeners: Vec<(UdpSocket, TcpListener)>,
        upstreams: Vec<SocketAddr>,
    ) -> Result<Self, StartError> {
        let mut addresses = Vec::with_capacity(listeners.len());
        for (udp, _) in &listeners {
            addresses.push(udp.local_addr().map_err(|source| StartError::Listen {
                address: SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0),
                transport: "udp",
                source,
            })?);
        }
        let mut servers: Vec<IpAddr> = addresses
            .iter()
            .map(SocketAddr::ip)
            .filter(|ip| !ip.is_unspecified())
            .collect();
        servers.sort();
        servers.dedup();
        Ok(Self {
            directory: Directory::new(zone, servers)?,
            upstreams,
            listeners,
            addresses,
        })
    }

    /// The addresses in the order of the configuration, with the ports that were free.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The door for publishing, observing and counting; it outlives [`DnsServer::run`].
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Answers until `shutdown` completes; then closes all sockets and returns when every task has ended.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let responder = Responder::new(self.directory, self.upstreams);
        let mut tasks = JoinSet::new();
        for (udp, tcp) in self.listeners {
            tasks.spawn(udp::serve(Arc::new(udp), responder.clone()));
            tasks.spawn(tcp::serve(tcp, responder.clone()));
        }
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(Err(failure)) = tasks.join_next() => error!(%failure, "a dns listener died, others go on"),
            }
        }
        tasks.shutdown().await;
    }
}

/// Binds one address for both transports.
async fn bind_both(address: SocketAddr) -> Result<(UdpSocket, TcpListener), StartError> {
    let failed = |transport| {
        move |source| StartError::Listen {
            address,
            transport,
            source,
        }
    };
    let mut tries = FREE_PORT_TRIES;
    loop {
        let udp = UdpSocket::bind(address).await.map_err(failed("udp"))?;
        let chosen = udp.local_addr().map_err(failed("udp"))?;
        match TcpListener::bind(chosen).await {
            Ok(tcp) => return Ok((udp, tcp)),
            // The kernel chose a port for UDP that TCP has taken: choose again.
            Err(_) if address.port() == 0 && tries > 0 => tries -= 1,
            Err(source) => return Err(failed("tcp")(source)),
        }
    }
}
