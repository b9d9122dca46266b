//! Listeners: one accept loop each, bounded connections, no connection without an end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edged_notify::Steps;
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
    let signing = Arc::new(Steps::new(SIGNATURES));
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
/// place there who says nothing. Later steps go the same way: a client that is asked for a second hello is signed for then.
async fn shake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    tls: Arc<ServerConfig>,
    signing: &Steps,
) -> std::io::Result<TlsStream<S>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let shaking = Box::pin(async move { hello.into_stream(tls).await });
    signing.take(shaking).await?
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Mutex, mpsc};

    use axum::routing::get;
    use edged_authority::{Authority, FileKey, Names, POINT, SIGNATURE, Server, Sign, SignError};
    use rustls::crypto::{SupportedKxGroup, ring};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A key in a TPM that takes its time: until the thread that serves has come round.
    #[derive(Debug)]
    struct Slow {
        key: FileKey,
        asked: UnboundedSender<()>,
        go: Mutex<mpsc::Receiver<()>>,
    }

    impl Sign for Slow {
        fn public(&self) -> [u8; POINT] {
            self.key.public()
        }

        fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
            let _ = self.asked.send(());
            let go = self.go.lock().unwrap().recv_timeout(HEADER_TIMEOUT / 2);
            assert!(go.is_ok(), "the thread that serves stands still");
            self.key.sign(message)
        }
    }

    /// A server whose key is slow, and a client that believes it; the first group is what the client guesses.
    fn both(
        folder: &Path,
        server: Vec<&'static dyn SupportedKxGroup>,
    ) -> (
        Arc<ServerConfig>,
        TlsConnector,
        UnboundedReceiver<()>,
        mpsc::Sender<()>,
    ) {
        let key = |name| FileKey::open(&folder.join(name), name).unwrap();
        let authority = Arc::new(Authority::open(folder, "test", Arc::new(key("ca"))).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(authority.root().clone()).unwrap();
        let ((asked, questions), (answers, go)) = (unbounded_channel(), mpsc::channel());
        let slow = Slow {
            key: key("tls"),
            asked,
            go: Mutex::new(go),
        };
        let names = Names {
            hosts: vec!["box.test".to_owned()],
            ..Names::default()
        };
        let provider = |kx_groups| {
            let all = ring::default_provider();
            Arc::new(rustls::crypto::CryptoProvider { kx_groups, ..all })
        };
        let tls = ServerConfig::builder_with_provider(provider(server))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Server::new(authority, Arc::new(slow), names)));
        let groups = vec![ring::kx_group::X25519, ring::kx_group::SECP256R1];
        let client = ClientConfig::builder_with_provider(provider(groups))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (
            Arc::new(tls),
            TlsConnector::from(Arc::new(client)),
            questions,
            answers,
        )
    }

    #[tokio::test]
    async fn a_signature_that_takes_its_time_holds_up_nobody_whatever_the_client_says_first() {
        // The second server asks the client for another hello (RFC 8446, 4.1.4).
        for group in [ring::kx_group::X25519, ring::kx_group::SECP256R1] {
            let folder = tempfile::tempdir().unwrap();
            let (tls, connector, mut questions, answers) = both(folder.path(), vec![group]);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let place = listener.local_addr().unwrap();
            let (_end, stop) = watch::channel(false);
            let router = Router::new().route("/", get(async || "ok"));
            tokio::spawn(serve(listener, Some(tls), router, stop));
            tokio::spawn(async move {
                while let Some(()) = questions.recv().await {
                    let _ = answers.send(());
                }
            });
            let stream = TcpStream::connect(place).await.unwrap();
            let name = ServerName::try_from("box.test").unwrap();
            connector.connect(name, stream).await.unwrap();
        }
    }
}
