//! Paths, authorization and answers.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use edged_model::InstanceId;
use mec_api::bandwidth;
use serde_json::{Value, json};

use crate::bandwidth::Bandwidth;
use crate::{
    Access, Caller, Gate, Mec, Platform, Problem, RegisteredService, ServiceInfo, Tokens,
    authorize, token,
};

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
    let interfaces = interfaces(&mec)
        .merge(by_hand(Arc::clone(&shared)))
        .route_layer(axum::middleware::from_fn_with_state(gate, authorize::<P>));
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
    Router::new().nest(bandwidth::BASE, bandwidth::router(bandwidth))
}

/// What is not generated yet.
fn by_hand<P: Platform>(shared: Arc<Shared<P>>) -> Router {
    Router::new()
        .route(
            "/mec_app_support/v1/applications/{instance}/confirm_ready",
            post(confirm_ready::<P>),
        )
        .route("/mec_service_mgmt/v1/services", get(services::<P>))
        .route("/mec_service_mgmt/v1/services/{service}", get(service::<P>))
        .route(
            "/mec_service_mgmt/v1/applications/{instance}/services",
            get(own_services::<P>).post(register::<P>),
        )
        .route(
            "/mec_service_mgmt/v1/applications/{instance}/services/{service}",
            get(own_service::<P>)
                .put(replace::<P>)
                .delete(deregister::<P>),
        )
        .with_state(shared)
}

fn acts_for<P: Platform>(
    shared: &Shared<P>,
    caller: &Caller,
    instance: &str,
) -> Result<InstanceId, Problem> {
    let picture = shared.mec.platform.picture();
    caller
        .application(&picture, instance)
        .map(|application| application.id().clone())
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

/// A body that is JSON, or the problem with it.
fn json_body(body: Result<Json<Value>, JsonRejection>) -> Result<Value, Problem> {
    body.map(|Json(value)| value)
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the body is longer than 64 KiB"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Problem::unsupported("the body must be application/json")
            }
            _ => Problem::bad_request("the body is not JSON"),
        })
}

async fn confirm_ready<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path(instance): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let id = acts_for(&shared, &caller, &instance)?;
    let body = json_body(body)?;
    if body.get("indication").and_then(Value::as_str) != Some("READY") {
        return Err(Problem::bad_request(
            "AppReadyConfirmation.indication must be READY",
        ));
    }
    shared.mec.platform.confirm_ready(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn services<P: Platform>(State(shared): Context<P>) -> Json<Vec<ServiceInfo>> {
    Json(
        shared
            .mec
            .platform
            .picture()
            .services
            .iter()
            .cloned()
            .map(|service| service.info)
            .collect(),
    )
}

fn find<P: Platform>(shared: &Shared<P>, id: &str) -> Result<RegisteredService, Problem> {
    let found = shared
        .mec
        .platform
        .picture()
        .services
        .iter()
        .cloned()
        .find(|service| service.id == id);
    found.ok_or_else(|| Problem::not_found(format!("there is no service {id:?}")))
}

async fn service<P: Platform>(
    State(shared): Context<P>,
    Path(service): Path<String>,
) -> Result<Json<ServiceInfo>, Problem> {
    find(&shared, &service).map(|service| Json(service.info))
}

async fn own_services<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path(instance): Path<String>,
) -> Result<Json<Vec<ServiceInfo>>, Problem> {
    let id = acts_for(&shared, &caller, &instance)?;
    let picture = shared.mec.platform.picture();
    let own = picture
        .services
        .iter()
        .cloned()
        .filter(|service| service.instance == id);
    Ok(Json(own.map(|service| service.info).collect()))
}

async fn register<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path(instance): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let owner = acts_for(&shared, &caller, &instance)?;
    let info = ServiceInfo::parse(json_body(body)?)?;
    let id = uuid::Uuid::new_v4().to_string();
    let href = format!(
        "{}/mec_service_mgmt/v1/applications/{owner}/services/{id}",
        shared.mec.facts.prefix
    );
    let info = info.registered(&id, &href);
    let service = RegisteredService {
        id,
        instance: owner,
        info: info.clone(),
    };
    shared.mec.platform.put_service(service).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, href)], Json(info)).into_response())
}

/// The service of the path, where it belongs to the instance of the path.
fn find_own<P: Platform>(
    shared: &Shared<P>,
    caller: &Caller,
    instance: &str,
    service: &str,
) -> Result<RegisteredService, Problem> {
    let owner = acts_for(shared, caller, instance)?;
    let found = find(shared, service)?;
    if found.instance == owner {
        Ok(found)
    } else {
        Err(Problem::not_found(format!(
            "there is no service {service:?}"
        )))
    }
}

async fn own_service<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path((instance, service)): Path<(String, String)>,
) -> Result<Json<ServiceInfo>, Problem> {
    find_own(&shared, &caller, &instance, &service).map(|service| Json(service.info))
}

async fn replace<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path((instance, service)): Path<(String, String)>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<ServiceInfo>, Problem> {
    let old = find_own(&shared, &caller, &instance, &service)?;
    let info = ServiceInfo::parse(json_body(body)?)?;
    let href = format!(
        "{}/mec_service_mgmt/v1/applications/{}/services/{}",
        shared.mec.facts.prefix, old.instance, old.id
    );
    let info = info.registered(&old.id, &href);
    let service = RegisteredService {
        info: info.clone(),
        ..old
    };
    shared.mec.platform.put_service(service).await?;
    Ok(Json(info))
}

async fn deregister<P: Platform>(
    State(shared): Context<P>,
    Extension(caller): Extension<Caller>,
    Path((instance, service)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let old = find_own(&shared, &caller, &instance, &service)?;
    shared.mec.platform.remove_service(old.id).await?;
    Ok(StatusCode::NO_CONTENT)
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
