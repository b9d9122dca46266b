//! Listeners: one accept loop each, bounded connections, no connection without an end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections at once on one listener: each costs up to 32 KiB of buffers, so a flood costs 8 MiB and no more.
pub const CONNECTIONS: usize = 256;
/// Longest time from connect to complete request headers: slower peers hold a place for nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes that are being signed at once: the key may be in a TPM, which does one after the other.
const SIGNATURES: usize = 4;
/// Pause after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a router on a listener, with TLS where a configuration is given, until `stop` says so.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let signing = Arc::new(Semaphore::new(SIGNATURES));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // Cancel-safe: a place that is not used is given back, accept loses nothing, finished tasks are only counted.
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, router, signing) = (tls.clone(), router.clone(), Arc::clone(&signing));
        connections.spawn(async move {
            match tls {
                None => converse(stream, router).await,
                Some(tls) => {
                    let shaking =
                        tokio::time::timeout(HEADER_TIMEOUT, shake(stream, tls, &signing));
                    if let Ok(Ok(stream)) = shaking.await {
                        converse(stream, router).await;
                    }
                }
            }
            drop(place);
        });
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and awaited: Nagle's algorithm would only delay them.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            None
        }
    }
}

/// The server's half of a handshake. Its signature, and the certificate where one has to be made, may wait for the TPM:
/// that happens on a thread of its own, and only once the client has said all that it says first, so that nobody holds a
/// place there who says nothing.
async fn shake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    tls: Arc<ServerConfig>,
    signing: &Semaphore,
) -> std::io::Result<TlsStream<S>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let shaking = {
        // The semaphore is never closed.
        let _place = signing.acquire().await;
        let signed = tokio::task::spawn_blocking(move || hello.into_stream(tls));
        signed.await.map_err(std::io::Error::other)?
    };
    shaking.await
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let result = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(32 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
