//! Paths, authorization and answers.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use edged_model::InstanceId;
use serde_json::{Value, json};

use crate::{Access, Platform, Problem, RegisteredService, ServiceInfo, Tokens, token};

/// Longest body: a `ServiceInfo` is under 4 KiB in every published example.
const BODY_MAX: usize = 64 << 10;

struct Shared<P> {
    platform: P,
    tokens: Arc<Tokens>,
    prefix: String,
}

type Context<P> = State<Arc<Shared<P>>>;

/// All paths, under the configured prefix.
pub fn router<P: Platform>(platform: P, tokens: Arc<Tokens>, prefix: &str) -> Router {
    let shared = Arc::new(Shared {
        platform,
        tokens,
        prefix: prefix.to_owned(),
    });
    let paths = Router::new()
        .route("/token", post(issue::<P>))
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
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(metrics::<P>))
        .with_state(shared);
    let paths = if prefix.is_empty() {
        paths
    } else {
        Router::new().nest(prefix, paths)
    };
    paths
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// A caller whose bearer token is good (RFC 6750, 2.1).
struct Caller(Access);

impl<P: Platform> FromRequestParts<Arc<Shared<P>>> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared<P>>,
    ) -> Result<Self, Problem> {
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
        let Some(bearer) = bearer else {
            return Err(Problem::unauthorized(
                "a bearer token is needed; get one at /token",
                "Bearer realm=\"mec\"",
            ));
        };
        let refused = || {
            let challenge = "Bearer realm=\"mec\", error=\"invalid_token\"";
            Problem::unauthorized(
                "the token is expired, forged or for another box; get one at /token",
                challenge,
            )
        };
        let access = shared.tokens.verify(bearer.trim()).ok_or_else(refused)?;
        // A token ends with its instance, whatever its own expiry says.
        if let Access::Instance(id) = &access
            && !shared.platform.picture().applications.contains_key(id)
        {
            return Err(refused());
        }
        Ok(Self(access))
    }
}

impl Caller {
    /// The instance of the path, where it exists and the caller may act for it.
    fn acts_for<P: Platform>(
        &self,
        shared: &Shared<P>,
        instance: &str,
    ) -> Result<InstanceId, Problem> {
        let unknown =
            || Problem::not_found(format!("there is no application instance {instance:?}"));
        let id: InstanceId = instance.parse().map_err(|_| unknown())?;
        match &self.0 {
            Access::Instance(own) if *own != id => Err(Problem::forbidden(
                "this token is for another application instance",
            )),
            _ if !shared.platform.picture().applications.contains_key(&id) => Err(unknown()),
            _ => Ok(id),
        }
    }
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
        shared.platform.is_secret_of(&id, secret).then_some(id)
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
    caller: Caller,
    Path(instance): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let id = caller.acts_for(&shared, &instance)?;
    let body = json_body(body)?;
    if body.get("indication").and_then(Value::as_str) != Some("READY") {
        return Err(Problem::bad_request(
            "AppReadyConfirmation.indication must be READY",
        ));
    }
    shared.platform.confirm_ready(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn services<P: Platform>(
    State(shared): Context<P>,
    _caller: Caller,
) -> Json<Vec<ServiceInfo>> {
    Json(
        shared
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
    _caller: Caller,
    Path(service): Path<String>,
) -> Result<Json<ServiceInfo>, Problem> {
    find(&shared, &service).map(|service| Json(service.info))
}

async fn own_services<P: Platform>(
    State(shared): Context<P>,
    caller: Caller,
    Path(instance): Path<String>,
) -> Result<Json<Vec<ServiceInfo>>, Problem> {
    let id = caller.acts_for(&shared, &instance)?;
    let picture = shared.platform.picture();
    let own = picture
        .services
        .iter()
        .cloned()
        .filter(|service| service.instance == id);
    Ok(Json(own.map(|service| service.info).collect()))
}

async fn register<P: Platform>(
    State(shared): Context<P>,
    caller: Caller,
    Path(instance): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let owner = caller.acts_for(&shared, &instance)?;
    let info = ServiceInfo::parse(json_body(body)?)?;
    let id = uuid::Uuid::new_v4().to_string();
    let href = format!(
        "{}/mec_service_mgmt/v1/applications/{owner}/services/{id}",
        shared.prefix
    );
    let info = info.registered(&id, &href);
    let service = RegisteredService {
        id,
        instance: owner,
        info: info.clone(),
    };
    shared.platform.put_service(service).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, href)], Json(info)).into_response())
}

/// The service of the path, where it belongs to the instance of the path.
fn find_own<P: Platform>(
    shared: &Shared<P>,
    caller: &Caller,
    instance: &str,
    service: &str,
) -> Result<RegisteredService, Problem> {
    let owner = caller.acts_for(shared, instance)?;
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
    caller: Caller,
    Path((instance, service)): Path<(String, String)>,
) -> Result<Json<ServiceInfo>, Problem> {
    find_own(&shared, &caller, &instance, &service).map(|service| Json(service.info))
}

async fn replace<P: Platform>(
    State(shared): Context<P>,
    caller: Caller,
    Path((instance, service)): Path<(String, String)>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<ServiceInfo>, Problem> {
    let old = find_own(&shared, &caller, &instance, &service)?;
    let info = ServiceInfo::parse(json_body(body)?)?;
    let href = format!(
        "{}/mec_service_mgmt/v1/applications/{}/services/{}",
        shared.prefix, old.instance, old.id
    );
    let info = info.registered(&old.id, &href);
    let service = RegisteredService {
        info: info.clone(),
        ..old
    };
    shared.platform.put_service(service).await?;
    Ok(Json(info))
}

async fn deregister<P: Platform>(
    State(shared): Context<P>,
    caller: Caller,
    Path((instance, service)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let old = find_own(&shared, &caller, &instance, &service)?;
    shared.platform.remove_service(old.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ready<P: Platform>(State(shared): Context<P>) -> Result<&'static str, Problem> {
    shared
        .platform
        .readiness()
        .map(|()| "ready\n")
        .map_err(Problem::unavailable)
}

async fn metrics<P: Platform>(State(shared): Context<P>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        shared.platform.metrics(),
    )
        .into_response()
}
