//! A bundle from an address. Whoever stands in between may hold it up; that it is ours is its own signature's business.

use edged_console::{ErrorKind, PlatformError};
use edged_mec::download::{client, innermost};
use reqwest::{Response, Url};

use super::intake::Source;

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
    let client = client(true).map_err(|error| {
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
