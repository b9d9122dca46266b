//! What the node fetches over HTTP for somebody: from the system's authorities, with bounds, by no proxy.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};

/// Time to reach a server: one on the other side of the world needs two seconds.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest pause within the content: a server that is silent for so long has forgotten us.
const PAUSE: Duration = Duration::from_secs(30);
/// Redirections that are followed: stores move once or twice, never in circles.
const REDIRECTIONS: usize = 3;

/// A client for one download. `https_only`: no redirection leads it to plain HTTP.
///
/// # Errors
/// rustls' or reqwest's, which is a fault of this build.
pub fn client(https_only: bool) -> Result<Client, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .https_only(https_only)
        .redirect(redirect::Policy::limited(REDIRECTIONS))
        .connect_timeout(CONNECT_TIME)
        .read_timeout(PAUSE)
        .build()?)
}

/// The innermost cause says what happened; the outer ones say that something did.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
