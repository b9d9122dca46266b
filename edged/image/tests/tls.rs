//! Registries behind TLS: who is believed, and what a redirect may do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use edged_image::{ContentStore, Image, ImageError, Puller, PullerConfig};
use edged_model::ImageReference;
use fixture::*;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Serves a site over TLS with a certificate of its own for 127.0.0.1; answers the registry's address and the PEM file.
async fn tls_site(folder: &tempfile::TempDir, site: Site) -> (String, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let log = Mutex::default();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = |request: &Request| {
                let found = site
                    .iter()
                    .find(|(path, _)| request.path.ends_with(path.as_str()));
                found.map_or_else(|| Reply::status(404, ""), |(_, reply)| reply.clone())
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = serve(stream, &answer, &log).await;
            }
        }
    });
    (address, file)
}

async fn pull(
    store: &ContentStore,
    address: &str,
    ca: Option<PathBuf>,
) -> Result<Image, ImageError> {
    let reference: ImageReference = format!("{address}/app:1").parse().unwrap();
    let config = PullerConfig {
        ca,
        patience: patience(),
        ..PullerConfig::default()
    };
    Puller::new(store.clone(), config)?
        .pull(&reference, &|_| ())
        .await
}

#[tokio::test]
async fn only_a_registry_of_a_known_authority_is_believed() {
    let (folder, store) = store();
    let (address, ca) = tls_site(&folder, Parts::new().site()).await;
    let error = pull(&store, &address, None).await.unwrap_err();
    assert!(
        matches!(error, ImageError::Untrusted { .. })
            && error.to_string().contains("registries.ca"),
        "{error}"
    );
    pull(&store, &address, Some(ca)).await.unwrap();
}

#[tokio::test]
async fn nothing_leads_from_tls_to_plain_http() {
    let (folder, store) = store();
    let plain = Server::site(Parts::new().site()).await;
    let parts = Parts::new();
    let mut site = parts.site();
    let path = format!("blobs/{}", digest(&parts.layers[0]));
    let elsewhere = format!("http://{}/v2/app/{path}", plain.address);
    site.insert(path, Reply::status(307, "").header("Location", &elsewhere));
    let (address, ca) = tls_site(&folder, site).await;
    let error = pull(&store, &address, Some(ca)).await.unwrap_err();
    assert!(matches!(error, ImageError::PlainRedirect { .. }), "{error}");

    let challenge = format!("Bearer realm=\"http://{}/token\"", plain.address);
    let site = [(
        "manifests/1".to_owned(),
        Reply::status(401, "").header("WWW-Authenticate", &challenge),
    )]
    .into();
    let (address, ca) = tls_site(&folder, site).await;
    let error = pull(&store, &address, Some(ca)).await.unwrap_err();
    assert!(matches!(error, ImageError::PlainRedirect { .. }), "{error}");
    assert!(
        plain.seen.lock().unwrap().is_empty(),
        "a request went out in plain HTTP"
    );
}

#[tokio::test]
async fn a_wrong_file_of_authorities_is_named_at_once() {
    let (folder, store) = store();
    let file = folder.path().join("ca.pem");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let config = PullerConfig {
            ca: Some(file.clone()),
            ..PullerConfig::default()
        };
        let error = Puller::new(store.clone(), config).unwrap_err();
        assert!(
            matches!(&error, ImageError::Authority { path, .. } if *path == file),
            "{error}"
        );
    }
}
