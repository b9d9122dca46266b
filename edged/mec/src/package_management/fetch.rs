//! Content that the node fetches itself (`appPkgPath`): for orchestrators alone, who may name any host.

use std::sync::Arc;
use std::time::Duration;

use mec_api::Problem;
use reqwest::{Client, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::arrival::{Arrival, fits};
use super::{PackageId, PackageManagement};
use crate::Platform;

/// Time to reach a server: one on the other side of the world needs two seconds.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest pause within the content: a server that is silent for so long has forgotten us.
const PAUSE: Duration = Duration::from_secs(30);
/// Longest fetch: 2 GiB over 10 Mbit/s.
const FETCH_TIME: Duration = Duration::from_secs(30 * 60);
/// Redirections that are followed: stores of packages move once or twice, never in circles.
const REDIRECTIONS: usize = 3;

/// Where a package may be fetched from.
///
/// # Errors
/// 400 for anything but http and https, and for names and passwords within.
pub(super) fn source(text: &str) -> Result<Url, Problem> {
    let refuse = |why: &str| Problem::bad_request(format!("appPkgPath: {why}"));
    let url: Url = text
        .parse()
        .map_err(|_| refuse("this is no absolute URI; write https://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(
            "packages are fetched by http and https; upload this one",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "names and passwords have no place in it; upload this package",
        ));
    }
    Ok(url)
}

impl<P: Platform> PackageManagement<P> {
    /// Fetches the content of an announced package; the package tells the result.
    pub(super) async fn fetch(self, id: PackageId, from: Url) {
        let mut arrival = match self.receive(&id).await {
            Ok(arrival) => arrival,
            Err(problem) => {
                tracing::info!(package = %id, reason = problem.detail(), "a package is not fetched");
                return;
            }
        };
        let fetched = tokio::time::timeout(FETCH_TIME, transfer(&mut arrival, from)).await;
        let fetched = fetched.unwrap_or_else(|_| {
            Err(failed(
                "it took longer than half an hour; upload the package instead",
            ))
        });
        match fetched {
            Ok(()) => {
                if let Err(problem) = self.accept(arrival).await {
                    tracing::info!(package = %id, reason = problem.detail(), "a package is not kept");
                }
            }
            Err(problem) => arrival.give_up(problem),
        }
    }
}

async fn transfer<P: Platform>(arrival: &mut Arrival<P>, from: Url) -> Result<(), Problem> {
    let client = client().map_err(|error| {
        tracing::error!(%error, "packages cannot be fetched");
        Problem::internal("packages cannot be fetched; upload this one")
    })?;
    let answer = client.get(from).send().await;
    let mut answer = answer
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| of_http(&error))?;
    if let Some(length) = answer.content_length() {
        fits(length)?;
    }
    while let Some(chunk) = answer.chunk().await.map_err(|error| of_http(&error))? {
        arrival.write(&chunk).await?;
    }
    Ok(())
}

fn of_http(error: &reqwest::Error) -> Problem {
    // The innermost cause says what happened; the outer ones say that something did.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    failed(&match error.status() {
        Some(status) => format!("the server answered {status}; check the path"),
        None => format!("{cause}; check the path and that the server answers"),
    })
}

fn failed(why: &str) -> Problem {
    Problem::unprocessable(format!("package at /appPkgPath: {why}"))
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
