//! Answering a registry's challenge: a token of its token service, or a password.

use oci_client::token_cache::RegistryToken;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};

use super::failure::Failure;
use super::registry::Registry;
use crate::ImageError;

/// The largest answer of a token service: tokens of big registries have 2 to 4 KiB.
const TOKEN_MAX: usize = 64 * 1024;

impl Registry {
    /// Answers the challenge of a 401 (distribution specification, "Authentication"; RFC 6750, RFC 7617).
    pub(super) async fn log_in(&self, headers: &HeaderMap) -> Result<HeaderValue, Failure> {
        let challenges = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut basic = false;
        for text in challenges {
            for challenge in http_auth::parse_challenges(text).unwrap_or_default() {
                let value = |name: &str| {
                    let param = challenge
                        .params
                        .iter()
                        .find(|(key, _)| key.eq_ignore_ascii_case(name));
                    param.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = value("realm")
                {
                    return self.fetch_token(&realm, value("service")).await;
                }
                basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
        }
        match &self.credential {
            Some(credential) if basic => {
                let request = self
                    .http
                    .get(&self.base)
                    .basic_auth(&credential.username, Some(&credential.password));
                let request = request
                    .build()
                    .map_err(|error| Failure::from_http(&self.name, &error))?;
                request
                    .headers()
                    .get(AUTHORIZATION)
                    .cloned()
                    .ok_or_else(|| self.unauthorised())
            }
            _ => Err(self.unauthorised()),
        }
    }

    async fn fetch_token(
        &self,
        realm: &str,
        service: Option<String>,
    ) -> Result<HeaderValue, Failure> {
        let mut url: Url = realm
            .parse()
            .map_err(|_| self.breach("its token service has no valid address"))?;
        if !self.plain && url.scheme() != "https" {
            let target = url.host_str().unwrap_or_default().to_owned();
            return Err(ImageError::PlainRedirect {
                registry: self.name.clone(),
                target,
            }
            .into());
        }
        url.query_pairs_mut()
            .append_pair("scope", &format!("repository:{}:pull", self.repository));
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.http.get(url);
        if let Some(credential) = &self.credential {
            request = request.basic_auth(&credential.username, Some(&credential.password));
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| Failure::from_http(&self.name, &error))?;
        if response.status() != StatusCode::OK {
            return Err(self.complaint(response).await);
        }
        let body = self.body(&mut response, TOKEN_MAX).await?;
        let token: RegistryToken = body
            .and_then(|body| serde_json::from_slice(&body).ok())
            .ok_or_else(|| self.breach("its token service answers no token"))?;
        let mut login = HeaderValue::try_from(token.bearer_token())
            .map_err(|_| self.breach("its token cannot be sent in a header"))?;
        login.set_sensitive(true);
        Ok(login)
    }
}
