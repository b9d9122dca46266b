//! Content that the node fetches itself (`appPkgPath`): for orchestrators alone, who may name any host.

use std::sync::Arc;
use std::time::Duration;

use mec_api::Problem;
use reqwest::Url;

use super::arrival::{Arrival, fits};
use super::record::Stage;
use super::{PackageId, PackageManagement};
use crate::Platform;
use crate::download::{client, innermost};

/// Longest fetch: 2 GiB over 10 Mbit/s.
const FETCH_TIME: Duration = Duration::from_secs(30 * 60);

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
        // It was answered that this comes: where others come, it waits for them. Never closed.
        let Ok(place) = Arc::clone(&self.0.packages.arriving).acquire_owned().await else {
            return;
        };
        let mut arrival = match self.receive_at(place, &id).await {
            Ok(arrival) => arrival,
            Err(problem) => {
                tracing::info!(package = %id, reason = problem.detail(), "a package is not fetched");
                // Somebody may have sent it meanwhile, and then nothing is wrong with it.
                let told = self
                    .0
                    .packages
                    .change(&self.0.store(), &id, |package, _| match package.stage {
                        Stage::Created => Ok(package.refused(&problem)),
                        _ => Err(problem.clone()),
                    });
                return drop(told);
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
    let client = client(from.scheme() == "https").map_err(|error| {
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
    failed(&match error.status() {
        Some(status) => format!("the server answered {status}; check the path"),
        None => format!(
            "{}; check the path and that the server answers",
            innermost(error)
        ),
    })
}

fn failed(why: &str) -> Problem {
    Problem::unprocessable(format!("package at /appPkgPath: {why}"))
}
