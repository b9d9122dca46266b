//! A bundle from an address. Whoever stands in between may hold it up; that it is ours is its own signature's business.

use std::sync::Arc;
use std::time::Duration;

use edged_console::{ErrorKind, PlatformError};
use reqwest::{Client, Response, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::intake::Source;

/// Time to reach a server.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest pause within the content.
const PAUSE: Duration = Duration::from_secs(30);
/// Redirections that are followed.
const REDIRECTIONS: usize = 3;

/// The content of an address.
pub(super) async fn open(address: &str) -> Result<Response, PlatformError> {
    let invalid = |why: String| PlatformError::new(ErrorKind::Invalid, format!("{address}: {why}"));
    let url: Url = address
        .parse()
        .map_err(|_| invalid("this is no address; write https://HOST/PATH".to_owned()))?;
    if url.scheme() != "https" {
        return Err(invalid("updates are fetched by https alone".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "names and passwords have no place in it".to_owned(),
        ));
    }
    let client = client().map_err(|error| {
        PlatformError::new(
            ErrorKind::Internal,
            format!("nothing can be fetched: {error}"),
        )
    })?;
    let answer = client.get(url).send().await;
    answer
        .and_then(Response::error_for_status)
        .map_err(|error| {
            let why = match error.status() {
                Some(status) => format!("the server answered {status}"),
                None => innermost(&error),
            };
            PlatformError::new(ErrorKind::Unavailable, format!("{address}: {why}"))
                .with_hint("check the address, or send the bundle on standard input")
        })
}

impl Source for Response {
    async fn next(&mut self) -> Result<bytes::Bytes, String> {
        let chunk = self.chunk().await.map_err(|error| innermost(&error))?;
        Ok(chunk.unwrap_or_default())
    }
}

/// The innermost cause says what happened; the outer ones say that something did.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn client() -> Result<Client, Box<dyn std::error::Error>> {
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
        .redirect(redirect::Policy::limited(REDIRECTIONS))
        .connect_timeout(CONNECT_TIME)
        .read_timeout(PAUSE)
        .build()?)
}
