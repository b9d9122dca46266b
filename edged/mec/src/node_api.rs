//! The node's own interface beside the standards': tokens, health, numbers and state. Its document,
//! `openapi/platform.yaml`, is written from this code.

mod certificates;
mod trust;
mod update;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use edged_model::InstanceId;
use mec_api::Problem;
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{ClientCredentials, Flow, OAuth2, Scopes, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::{Access, AppClaim, Application, Caller, Mec, Picture, Platform, Tokens, token};

struct Shared<P> {
    mec: Arc<Mec<P>>,
    tokens: Arc<Tokens>,
}

/// Longest request for a token: an id and a secret have some hundred bytes.
const REQUEST_MAX: usize = 4 << 10;

type Context<P> = State<Arc<Shared<P>>>;

/// What everybody may ask: a token, and whether the node is well.
pub fn open<P: Platform>(mec: Arc<Mec<P>>, tokens: Arc<Tokens>) -> Router {
    Router::new()
        .route("/token", post(issue_token::<P>))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness::<P>))
        .route("/metrics", get(metrics::<P>))
        .with_state(Arc::new(Shared {
            mec,
            tokens: Arc::clone(&tokens),
        }))
        .merge(trust::open(tokens))
}

/// What needs an operator's token, below the layer that says who calls.
pub fn closed<P: Platform>(mec: Arc<Mec<P>>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status::<P>))
        .with_state(Arc::clone(&mec))
        .merge(trust::closed(Arc::clone(&mec)))
        .merge(certificates::closed(Arc::clone(&mec)))
        .merge(update::closed(mec))
}

/// The document, as YAML.
///
/// # Panics
/// Never: the document is a value of this program.
pub fn document() -> String {
    let mut document = Document::openapi();
    document.info.contact = None;
    document.info.license = Some(utoipa::openapi::License::new("Apache-2.0"));
    document.to_yaml().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "The node",
        description = "What the node offers beside the interfaces of ETSI MEC: access tokens, health, numbers and its own state.",
        contact()
    ),
    paths(issue_token, health, readiness, metrics, status, certificates::issue,
        trust::keys, trust::status, trust::quote,
        update::status, update::install, update::roll_back),
    modifiers(&Secured)
)]
struct Document;

/// Names the security scheme as the other documents do.
struct Secured;

impl Modify for Secured {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scopes = Scopes::from_iter([
            (
                "mec:instance",
                "The resources of the instance that the token was issued to.",
            ),
            ("mec:all", "Everything: an orchestrator's or an operator's."),
        ]);
        let flow = Flow::ClientCredentials(ClientCredentials::new("/token", scopes));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("OAuth2", SecurityScheme::OAuth2(OAuth2::new([flow])));
    }
}

/// An error, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
struct ProblemDetails {
    /// The status code's own words.
    title: String,
    /// The status code.
    status: u32,
    /// One sentence about this request.
    detail: String,
}

/// A request for a token (RFC 6749, 4.4.2).
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"grant_type": "client_credentials"}))]
#[allow(
    dead_code,
    reason = "read by hand: RFC 6749 wants its own error for each fault"
)]
struct TokenRequest {
    /// `client_credentials`.
    grant_type: String,
    /// `MEC_CLIENT_ID`, where HTTP Basic is not used.
    client_id: Option<String>,
    /// The content of `MEC_CLIENT_SECRET_FILE`, where HTTP Basic is not used.
    client_secret: Option<String>,
}

/// A token (RFC 6749, 5.1).
#[derive(Debug, Serialize, ToSchema)]
struct TokenAnswer {
    /// What goes behind `Authorization: Bearer`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// Why there is no token (RFC 6749, 5.2).
#[derive(Debug, Serialize, ToSchema)]
struct TokenProblem {
    /// `unsupported_grant_type`, `invalid_client` or `server_error`.
    error: &'static str,
}

/// The state of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The platform's version.
    pub version: String,
    /// The zone of its names.
    pub zone: String,
    /// Seconds since edged started.
    pub uptime: u64,
    /// What it is made of and needs.
    pub parts: Vec<PartStatus>,
    /// Applications that run here, by name.
    pub applications: Vec<ApplicationStatus>,
}

/// A part of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartStatus {
    /// Its name.
    pub name: String,
    /// Whether it does its work.
    pub ok: bool,
    /// One sentence about how it is.
    pub detail: String,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// `appInstanceId`.
    pub app_instance_id: String,
    /// Its name.
    pub name: String,
    /// Where it is in its life, in words.
    pub state: String,
    /// What it runs.
    pub image: String,
    /// Its name in the zone.
    pub host_name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Starts again by the platform.
    pub restarts: u32,
}

/// Whether a body is a form: what says nothing, or anything, counts as one, as ETSI's test suite sends it.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") || kind == "*/*"
}

/// Ask for an access token
///
/// OAuth 2.0 client credentials (RFC 6749, 4.4), the client authenticated by HTTP Basic or in the form.
#[utoipa::path(post, path = "/token", operation_id = "issueToken", tag = "node",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token.", body = TokenAnswer),
        (status = 400, description = "Another grant than client credentials.", body = TokenProblem),
        (status = 401, description = "No such client, or another secret.", body = TokenProblem),
        (status = 413, description = "Longer than any request for a token.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "No form.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 500, description = "The token could not be signed.", body = TokenProblem)))]
async fn issue_token<P: Platform>(State(shared): Context<P>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    if !is_form(&headers) {
        return Problem::unsupported("a token is asked for with application/x-www-form-urlencoded")
            .into_response();
    }
    let too_large = || Problem::too_large("a request for a token is shorter").into_response();
    // Said by its length alone, so that nobody sends what is not read.
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > REQUEST_MAX) {
        return too_large();
    }
    let Ok(body) = axum::body::to_bytes(body, REQUEST_MAX).await else {
        return too_large();
    };
    let Ok(body) = std::str::from_utf8(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    };
    let field = |name: &str| {
        body.split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    match field("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        None => return refuse(StatusCode::BAD_REQUEST, "invalid_request"),
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
    let app = runs_here(&shared.mec.platform.picture(), &instance);
    let access = Access::Instance(instance);
    let issued = shared.tokens.issue_soon(access, app, token::LIFETIME_S);
    match issued.await {
        Ok(access_token) => {
            let answer = TokenAnswer {
                access_token,
                token_type: "Bearer",
                expires_in: token::LIFETIME_S,
            };
            ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "no token was given");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error")
        }
    }
}

/// What an instance runs; nothing is known of one that runs elsewhere.
fn runs_here(picture: &Picture, id: &InstanceId) -> Option<AppClaim> {
    match picture.applications.get(id)? {
        Application::Hosted { instance, .. } => Some(AppClaim {
            instance: id.to_string(),
            image: instance.image.manifest.to_string(),
        }),
        Application::Registered(_) => None,
    }
}

fn refuse(status: StatusCode, error: &'static str) -> Response {
    let mut response = (status, Json(TokenProblem { error })).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            header::HeaderValue::from_static("Basic realm=\"mec\""),
        );
    }
    response
}

/// Whether edged answers at all
#[utoipa::path(get, path = "/healthz", tag = "node",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
async fn health() -> &'static str {
    "ok\n"
}

/// Whether the node does its work
#[utoipa::path(get, path = "/readyz", tag = "node", responses(
    (status = 200, description = "It does.", body = String, content_type = "text/plain"),
    (status = 503, description = "A part is missing; the detail says which.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn readiness<P: Platform>(State(shared): Context<P>) -> Result<&'static str, Problem> {
    let readiness = shared.mec.platform.readiness();
    readiness.map(|()| "ready\n").map_err(Problem::unavailable)
}

/// The node in numbers
///
/// Prometheus text, exposition format 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200, description = "Every number, as it is now.", body = String, content_type = "text/plain")))]
async fn metrics<P: Platform>(State(shared): Context<P>) -> Response {
    let mut text = shared.mec.platform.metrics();
    text.push_str(&crate::numbers::text(&shared.mec.deliverer.counts()));
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, text).into_response()
}

/// The state of the node and its applications
///
/// Needs a token for everything; what `edgectl status` and `edgectl ps` show.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "nodeStatus", tag = "node", security(("OAuth2" = ["mec:all"])), responses(
    (status = 200, description = "As it is now.", body = NodeStatus),
    (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 403, description = "An application's token.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn status<P: Platform>(
    State(mec): State<Arc<Mec<P>>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<NodeStatus>, Problem> {
    caller.orchestrator()?;
    Ok(Json(mec.platform.status()))
}
