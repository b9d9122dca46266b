//! Every address that edged answers on, bound before anything else is changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use edged_config::{Addressing, Config};
use edged_dns::{DnsConfig, DnsServer, Subnet};
use edged_ssh::{Commissioning, SshConfig, SshServer};
use edged_trust::Purpose;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::boot::BootError;
use crate::prepare;
use crate::trust::Trust;
use crate::update;

/// How long the gateway's address is waited for: the guardian makes it within milliseconds of its own start.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at it.
const GATEWAY_PACE: Duration = Duration::from_millis(20);

/// What is bound.
#[derive(Debug)]
pub struct Listeners {
    /// The resolver, UDP and TCP.
    pub dns: DnsServer,
    /// HTTP, with TLS where a configuration is there.
    pub http: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    /// The door.
    pub ssh: SshServer,
}

/// Binds all of them.
pub async fn bind(
    config: &Config,
    addressing: &Addressing,
    trust: &Trust,
) -> Result<Listeners, BootError> {
    await_gateway(SocketAddr::new(addressing.gateway4.into(), 0)).await;
    Ok(Listeners {
        dns: dns(config, addressing).await?,
        http: http(config, addressing, trust).await?,
        ssh: ssh(config, trust).await?,
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

async fn dns(config: &Config, addressing: &Addressing) -> Result<DnsServer, BootError> {
    let subnets = [
        Subnet::new(addressing.subnet4.0.into(), addressing.subnet4.1),
        Subnet::new(addressing.subnet6.0.into(), addressing.subnet6.1),
    ];
    let subnets = subnets
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(edged_dns::StartError::from)?;
    let gateways: [SocketAddr; 2] = [
        (addressing.gateway4, 53).into(),
        (addressing.gateway6, 53).into(),
    ];
    let mut listen = config.dns.listen.clone();
    listen.extend(gateways.into_iter().filter(|gateway| {
        // Whoever listens on every address of a family has the gateway's among them.
        !config.dns.listen.iter().any(|address| {
            address.ip().is_unspecified()
                && address.is_ipv4() == gateway.is_ipv4()
                && address.port() == gateway.port()
        })
    }));
    let (zone, upstreams) = (config.node.zone(), config.dns.upstreams.clone());
    Ok(DnsServer::bind(DnsConfig {
        zone,
        listen,
        upstreams,
        subnets,
    })
    .await?)
}

async fn http(
    config: &Config,
    addressing: &Addressing,
    trust: &Trust,
) -> Result<Vec<(TcpListener, Option<Arc<ServerConfig>>)>, BootError> {
    let server = prepare::server(config, addressing, trust)?;
    let gateway = SocketAddr::new(addressing.gateway4.into(), config.http.app_port);
    let mut http = vec![(listen(gateway, "http.app_port").await?, None)];
    for address in &config.http.plain {
        http.push((listen(*address, "http.plain").await?, None));
    }
    for address in &config.http.listen {
        http.push((
            listen(*address, "http.listen").await?,
            Some(server.config()?),
        ));
    }
    Ok(http)
}

/// Serves the interfaces on every listener, until `stopped` says so.
pub fn serve(
    http: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    router: &Router,
    stopped: &watch::Receiver<bool>,
    serving: &mut JoinSet<()>,
) {
    for (listener, tls) in http {
        let scheme = match tls {
            Some(_) => edged_mec::Scheme::Https,
            None => edged_mec::Scheme::Http,
        };
        let router = router.clone().layer(Extension(scheme));
        serving.spawn(edged_mec::serve::serve(
            listener,
            tls,
            router,
            stopped.clone(),
        ));
    }
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

async fn ssh(config: &Config, trust: &Trust) -> Result<SshServer, BootError> {
    let folder = prepare::folder(config);
    let keys = config.ssh.authorized_keys.clone();
    // Where the box takes updates, they may come this way.
    let uploads = config.update.is_some().then(|| update::uploads(config));
    let ssh = SshServer::bind(SshConfig {
        listen: config.ssh.listen.clone(),
        host_key: trust.host_key()?,
        authorized_keys: keys.unwrap_or_else(|| folder.join("authorized_keys")),
        commissioning: config.image.as_ref().map(|image| Commissioning {
            keys: image.commissioners.clone(),
            record: crate::machine::record_path(config),
        }),
    })
    .await?
    .certified_by(trust.key(Purpose::Ca)?, vec![config.node.zone()])
    .taking_uploads(uploads.as_deref());
    // Whoever prepares known_hosts reads it here; a line like ssh-keygen's.
    let public = folder.join("ssh_host_key.pub");
    let line = ssh.host_key_line().map_err(|reason| BootError::Key {
        path: public.clone(),
        reason,
    })?;
    // Renamed into its place: whatever lay there is not written through.
    let aside = folder.join("ssh_host_key.pub.new");
    let _ = std::fs::remove_file(&aside);
    std::fs::write(&aside, line)
        .and_then(|()| std::fs::rename(&aside, &public))
        .map_err(|source| BootError::File {
            path: public,
            source,
        })?;
    Ok(ssh)
}
