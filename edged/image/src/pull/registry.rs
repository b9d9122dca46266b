//! Talking to one registry about one repository (OCI distribution specification 1.1, "Pull").
//!
//! The words of the protocol (names, tokens, error envelopes) are oci-client's. The requests are our own, because a
//! registry may be hostile: oci-client reads manifests, token answers and error bodies whole whatever their length,
//! follows redirects from HTTPS to HTTP, and panics on a token with a line break.

use std::time::Duration;

use bytes::Bytes;
use edged_model::{Digest, ImageReference, canonical_registry};
use oci_client::Reference;
use oci_client::errors::OciEnvelope;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::sync::Mutex;

use super::failure::{Failure, Passing, PlainRedirect, words};
use super::{Credential, PullerConfig, tls};
use crate::document::{Blob, DOCUMENT_MAX};
use crate::{ImageError, Refusal};

/// What we can read, best first.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Redirects of one request: registries send blobs to a storage service, sometimes over a second hop.
const REDIRECTS_MAX: usize = 5;
/// The largest error body that is read for its words.
const COMPLAINT_MAX: usize = 8 * 1024;

/// A connection pool and what was agreed with the registry.
pub(crate) struct Registry {
    pub(crate) http: Client,
    pub(crate) name: String,
    pub(crate) repository: String,
    pub(crate) base: String,
    pub(crate) plain: bool,
    pub(crate) credential: Option<Credential>,
    /// The `Authorization` that worked last. Locked while a new one is fetched: one login for all layers.
    login: Mutex<Option<HeaderValue>>,
}

/// What a manifest is asked for by, and with it what the answer must be.
#[derive(Debug)]
pub(crate) enum Asked {
    Tag(String),
    Digest(Digest),
    /// By a descriptor of an index, which names the size as well.
    Entry(Blob),
}

/// A manifest's bytes, its media type, and the digest that the registry's header names.
pub(crate) type Served = (Vec<u8>, Option<String>, Option<String>);

/// A blob, coming.
pub(crate) struct Answer {
    response: Response,
    registry: String,
    /// It goes on from where it was asked to; otherwise it begins at the first byte.
    pub resumed: bool,
}

impl Asked {
    fn text(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) | Self::Entry(Blob { digest, .. }) => digest.as_str(),
        }
    }

    /// Is what came what was asked for?
    pub(crate) fn check(
        &self,
        found: &Digest,
        length: usize,
        named: Option<String>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Digest(expected)
            | Self::Entry(Blob {
                digest: expected, ..
            }) if expected != found => {
                return Err(Refusal::WrongDigest {
                    expected: expected.clone(),
                    found: found.clone(),
                });
            }
            Self::Entry(Blob { digest, size }) if u64::try_from(length).ok() != Some(*size) => {
                let found = u64::try_from(length).unwrap_or(u64::MAX);
                return Err(Refusal::WrongSize {
                    digest: digest.clone(),
                    described: *size,
                    found,
                });
            }
            _ => {}
        }
        match named {
            // Other algorithms are the registry's own affair.
            Some(announced) if announced.starts_with("sha256:") && announced != found.as_str() => {
                Err(Refusal::HeaderDigest {
                    announced,
                    found: found.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// The next bytes.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.response
            .chunk()
            .await
            .map_err(|error| Failure::from_http(&self.registry, &error))
    }
}

impl Registry {
    pub(crate) fn new(
        config: &PullerConfig,
        reference: &ImageReference,
    ) -> Result<Self, ImageError> {
        let name = reference.registry().to_owned();
        let is_this = |one: &str| canonical_registry(one).as_ref() == Some(&name);
        let plain = config.insecure.iter().any(|one| is_this(one));
        // Redirects are followed to where the first request could have gone, and no further.
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("it redirects too often")
            } else if !plain && attempt.url().scheme() != "https" {
                let target = attempt.url().host_str().unwrap_or_default().to_owned();
                attempt.error(PlainRedirect(target))
            } else {
                attempt.follow()
            }
        });
        let http = Client::builder()
            .tls_backend_preconfigured(tls::config(config.ca.as_deref())?)
            .connect_timeout(config.patience.connect)
            .read_timeout(config.patience.stall)
            .redirect(policy)
            .https_only(!plain)
            .referer(false)
            .user_agent(concat!("edged/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ImageError::Tls(error.to_string()))?;
        // docker.io answers under another name, which oci-client knows.
        let repository = reference.repository().to_owned();
        let host = Reference::with_tag(name.clone(), repository.clone(), String::new())
            .resolve_registry()
            .to_owned();
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{repository}");
        let mut credentials = config.credentials.iter();
        let credential = credentials.find(|(one, _)| is_this(one));
        let credential = credential.map(|(_, credential)| credential.clone());
        Ok(Self {
            http,
            name,
            repository,
            base,
            plain,
            credential,
            login: Mutex::new(None),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A manifest or an index, by tag or digest, at most [`DOCUMENT_MAX`] bytes of it.
    pub(crate) async fn manifest(&self, asked: &Asked) -> Result<Served, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES));
        let mut response = self
            .get(&format!("manifests/{}", asked.text()), &headers)
            .await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(ImageError::NotFound(self.reference(asked)?).into());
            }
            _ => return Err(self.complaint(response).await),
        }
        let text = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|text| !text.is_empty())
        };
        let media_type = text(CONTENT_TYPE.as_str())
            .map(|it| it.split(';').next().unwrap_or(it).trim().to_owned());
        let named = text("docker-content-digest").map(str::to_owned);
        let bytes = self
            .body(&mut response, DOCUMENT_MAX)
            .await?
            .ok_or_else(|| {
                let reason = Refusal::DocumentTooLarge {
                    document: "manifest",
                    limit: DOCUMENT_MAX,
                };
                ImageError::refused(&format!("{}/{}", self.name, self.repository), reason)
            })?;
        Ok((bytes, media_type, named))
    }

    /// A blob from byte `from` on; the registry may answer from the first byte instead.
    pub(crate) async fn blob(
        &self,
        image: &ImageReference,
        blob: &Blob,
        from: u64,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        if from > 0 {
            let range = HeaderValue::try_from(format!("bytes={from}-"))
                .map_err(|error| Failure::passing(error.to_string()))?;
            headers.insert(RANGE, range);
        }
        let path = format!("blobs/{}", blob.digest);
        let mut response = self.get(&path, &headers).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            response = self.get(&path, &HeaderMap::new()).await?;
        }
        let resumed = match response.status() {
            StatusCode::OK => false,
            StatusCode::PARTIAL_CONTENT if starts_at(&response, from) => true,
            StatusCode::PARTIAL_CONTENT => {
                let reason = "it answers another range than was asked for".to_owned();
                return Err(ImageError::Protocol {
                    registry: self.name.clone(),
                    reason,
                }
                .into());
            }
            StatusCode::NOT_FOUND => {
                let (registry, digest) = (self.name.clone(), blob.digest.clone());
                return Err(ImageError::BlobNotFound { registry, digest }.into());
            }
            _ => return Err(self.complaint(response).await),
        };
        let begin = if resumed { from } else { 0 };
        let found = response
            .content_length()
            .map(|length| begin.saturating_add(length));
        // A shorter part is legal and asked for again; a whole answer must be whole.
        match found {
            Some(found) if found > blob.size || (!resumed && found < blob.size) => {
                let reason = Refusal::WrongSize {
                    digest: blob.digest.clone(),
                    described: blob.size,
                    found,
                };
                Err(ImageError::refused(image, reason).into())
            }
            _ => Ok(Answer {
                response,
                registry: self.name.clone(),
                resumed,
            }),
        }
    }

    /// A GET, logged in if the registry wants it.
    async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Response, Failure> {
        let url = format!("{}/{path}", self.base);
        let send = async |login: Option<HeaderValue>| {
            let mut request = self.http.get(&url).headers(headers.clone());
            if let Some(login) = login {
                request = request.header(AUTHORIZATION, login);
            }
            request
                .send()
                .await
                .map_err(|error| Failure::from_http(&self.name, &error))
        };
        let used = self.login.lock().await.clone();
        let response = send(used.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let fresh = {
            let mut login = self.login.lock().await;
            // Another layer may have logged in again while this one was refused.
            if *login == used {
                *login = Some(self.log_in(response.headers()).await?);
            }
            login.clone()
        };
        send(fresh).await
    }

    /// At most `limit` bytes of a body; none if there are more.
    pub(crate) async fn body(
        &self,
        response: &mut Response,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failure::from_http(&self.name, &error))?
        {
            if body.len().saturating_add(chunk.len()) > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// What an answer other than success means.
    pub(crate) async fn complaint(&self, mut response: Response) -> Failure {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return self.unauthorised();
        }
        let header = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let retry_after = header
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let body = self
            .body(&mut response, COMPLAINT_MAX)
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        let envelope = serde_json::from_slice::<OciEnvelope>(&body).ok();
        let message = envelope
            .and_then(|it| it.errors.into_iter().next())
            .map(|it| words(&it.message));
        let detail = message
            .filter(|it| !it.is_empty())
            .map_or_else(String::new, |it| format!(": {it}"));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let status = Some(status.as_u16());
            Failure::Passing(Passing {
                text: detail,
                status,
                retry_after,
                unreachable: false,
            })
        } else {
            ImageError::Status {
                registry: self.name.clone(),
                status: status.as_u16(),
                detail,
            }
            .into()
        }
    }

    pub(crate) fn unauthorised(&self) -> Failure {
        ImageError::Unauthorised {
            registry: self.name.clone(),
            repository: self.repository.clone(),
        }
        .into()
    }

    pub(crate) fn breach(&self, reason: &str) -> Failure {
        ImageError::Protocol {
            registry: self.name.clone(),
            reason: reason.to_owned(),
        }
        .into()
    }

    /// What was not found, as somebody would write it.
    fn reference(&self, asked: &Asked) -> Result<ImageReference, Failure> {
        let separator = if matches!(asked, Asked::Tag(_)) {
            ':'
        } else {
            '@'
        };
        let text = format!(
            "{}/{}{separator}{}",
            self.name,
            self.repository,
            asked.text()
        );
        text.parse()
            .map_err(|_| self.breach("the reference cannot be written"))
    }
}

/// Does a partial answer begin at that byte (RFC 9110, 14.4)?
fn starts_at(response: &Response, from: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let start = range.and_then(|text| {
        text.strip_prefix("bytes ")?
            .split('-')
            .next()?
            .parse::<u64>()
            .ok()
    });
    start == Some(from)
}
