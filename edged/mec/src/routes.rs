//! Paths, authorization and answers.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use edged_model::InstanceId;
use mec_api::app_support;
use mec_api::{bandwidth, service_management};
use serde_json::json;

use crate::app_support::AppSupport;
use crate::bandwidth::Bandwidth;
use crate::service_management::ServiceManagement;
use crate::subscribe;
use crate::{Access, Gate, Mec, Platform, Problem, Tokens, authorize, token};

/// Longest body: a `ServiceInfo` is under 4 KiB in every published example.
const BODY_MAX: usize = 64 << 10;

struct Shared<P> {
    mec: Arc<Mec<P>>,
    tokens: Arc<Tokens>,
}

type Context<P> = State<Arc<Shared<P>>>;

/// All paths, under the configured prefix.
pub fn router<P: Platform>(mec: Arc<Mec<P>>, tokens: Arc<Tokens>) -> Router {
    let prefix = mec.facts.prefix.clone();
    let gate = Gate::new(
        mec.platform.clone(),
        Arc::clone(&tokens),
        &mec.facts.app_host,
        &prefix,
    );
    let shared = Arc::new(Shared {
        mec: Arc::clone(&mec),
        tokens,
    });
    let interfaces =
        interfaces(&mec).route_layer(axum::middleware::from_fn_with_state(gate, authorize::<P>));
    let paths = Router::new()
        .route("/token", post(issue::<P>))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(metrics::<P>))
        .with_state(shared)
        .merge(interfaces);
    let paths = if prefix.is_empty() {
        paths
    } else {
        Router::new().nest(&prefix, paths)
    };
    paths
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// The generated interfaces, each at its base path.
fn interfaces<P: Platform>(mec: &Arc<Mec<P>>) -> Router {
    let bandwidth = Arc::new(Bandwidth::new(Arc::clone(mec)));
    let services = Arc::new(ServiceManagement::new(Arc::clone(mec)));
    let support = Arc::new(AppSupport::new(Arc::clone(mec)));
    Router::new()
        .nest(app_support::BASE, app_support::router(support))
        .nest(bandwidth::BASE, bandwidth::router(bandwidth))
        .nest(
            service_management::BASE,
            service_management::router(services),
        )
        .merge(subscribe::sockets(Arc::clone(mec)))
}

/// OAuth 2.0 client credentials (RFC 6749, 4.4), the client authenticated by HTTP Basic (2.3.1) or in the form.
async fn issue<P: Platform>(
    State(shared): Context<P>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let refuse = |status: StatusCode, error: &str| {
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Basic realm=\"mec\""),
            );
        }
        response
    };
    let field = |name: &str| {
        body.split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    if field("grant_type") != Some("client_credentials") {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let basic = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    // Ids and secrets are of unreserved characters (RFC 3986), so form encoding leaves them as they are.
    let client = match &basic {
        Some(pair) => pair.split_once(':'),
        None => field("client_id").zip(field("client_secret")),
    };
    let instance = client.and_then(|(id, secret)| {
        let id: InstanceId = id.parse().ok()?;
        shared.mec.platform.is_secret_of(&id, secret).then_some(id)
    });
    let Some(instance) = instance else {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    match shared
        .tokens
        .issue(&Access::Instance(instance), token::LIFETIME_S)
    {
        Ok(token) => {
            let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": token::LIFETIME_S });
            ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    }
}

async fn ready<P: Platform>(State(shared): Context<P>) -> Result<&'static str, Problem> {
    shared
        .mec
        .platform
        .readiness()
        .map(|()| "ready\n")
        .map_err(Problem::unavailable)
}

async fn metrics<P: Platform>(State(shared): Context<P>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        shared.mec.platform.metrics(),
    )
        .into_response()
}
