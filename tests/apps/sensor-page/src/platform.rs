//! The platform: a token, the word that this instance is ready, and its service (ETSI GS MEC 009 and MEC 011).

use std::env;
use std::fs;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{Body, post};
use crate::retry::Pause;

/// How the platform is reached and who this instance is there.
pub struct Platform {
    host: String,
    instance: String,
    token_url: String,
    client_id: String,
    secret_file: String,
    zone: String,
}

impl Platform {
    /// From the `MEC_…` variables; `None` without `MEC_HOST`.
    pub fn from_environment() -> anyhow::Result<Option<Self>> {
        let Ok(host) = env::var("MEC_HOST") else {
            return Ok(None);
        };
        let get = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Some(Self {
            host: host.trim_end_matches('/').to_owned(),
            instance: get("MEC_APP_INSTANCE_ID")?,
            token_url: get("MEC_TOKEN_URL")?,
            client_id: get("MEC_CLIENT_ID")?,
            secret_file: get("MEC_CLIENT_SECRET_FILE")?,
            zone: get("MEC_ZONE")?,
        }))
    }

    /// An access token by the client credentials grant (RFC 6749, 4.4; HTTP Basic as in 2.3.1).
    fn token(&self) -> anyhow::Result<String> {
        let secret = fs::read_to_string(&self.secret_file)
            .with_context(|| format!("cannot read {}", self.secret_file))?;
        let pair = format!("{}:{}", self.client_id, secret.trim_end());
        let body = Body {
            media_type: "application/x-www-form-urlencoded",
            text: "grant_type=client_credentials",
        };
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let answer: Value = serde_json::from_str(&post(&self.token_url, &basic, &body)?)
            .context("the token endpoint did not answer with JSON")?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.context("no access_token in the answer")?.to_owned())
    }

    fn say(&self, path: &str, token: &str, object: &Value) -> anyhow::Result<()> {
        let body = Body {
            media_type: "application/json",
            text: &object.to_string(),
        };
        let url = format!("{}{path}", self.host);
        post(&url, &format!("Bearer {token}"), &body).map(drop)
    }

    /// Tells the platform that this instance is ready and what it offers.
    fn introduce(&self, port: u16) -> anyhow::Result<()> {
        let token = self.token()?;
        let instance = &self.instance;
        self.say(
            &format!("/mec_app_support/v1/applications/{instance}/confirm_ready"),
            &token,
            &json!({"indication": "READY"}),
        )?;
        self.say(
            &format!("/mec_service_mgmt/v1/applications/{instance}/services"),
            &token,
            &self.service(port),
        )
    }

    /// The `ServiceInfo` of MEC 011, 8.1.2.2.
    fn service(&self, port: u16) -> Value {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let uri = format!("http://{}.app.{}:{port}/", name.trim_end(), self.zone);
        json!({
            "serName": "sensor-readings",
            "version": env!("CARGO_PKG_VERSION"),
            "state": "ACTIVE",
            "serializer": "JSON",
            "transportInfo": {
                "id": "http",
                "name": "readings over HTTP",
                "type": "REST_HTTP",
                "protocol": "HTTP",
                "version": "1.1",
                "endpoint": {"uris": [uri]},
                "security": {},
            },
        })
    }
}

/// Introduces the instance, as often as it takes.
pub fn announce(platform: &Platform, port: u16) {
    let mut pause = Pause::new();
    loop {
        match platform.introduce(port) {
            Ok(()) => return println!("announced at {}", platform.host),
            Err(error) => println!("not announced yet: {error:#}"),
        }
        pause.wait();
    }
}
