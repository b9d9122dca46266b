//! `/api/v1/update`: another release of the box's own software.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use mec_api::Problem;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ProblemDetails;
use crate::{Caller, Mec, Platform};

/// What an operator may ask, below the layer that says who calls.
pub(super) fn closed<P: Platform>(mec: Arc<Mec<P>>) -> Router {
    Router::new()
        .route(
            "/api/v1/update",
            get(status::<P>).post(install::<P>).delete(roll_back::<P>),
        )
        .with_state(mec)
}

/// A bundle, as `cargo board update` writes it.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "says what the request is like")]
pub(super) struct SignedBundle(Vec<u8>);

/// How a bundle is taken.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InstallQuery {
    /// Take it although the running release could not read the database again after a rollback.
    #[serde(default)]
    no_way_back: bool,
}

/// Which release runs, and how far an update has come
///
/// Needs a token for everything; what `edgectl update status` shows.
#[utoipa::path(get, path = "/api/v1/update", operation_id = "updateStatus", tag = "update", security(("OAuth2" = ["mec:all"])), responses(
    (status = 200, description = "What runs, what is under way, how the last update ended, and what to do.", body = Value),
    (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 403, description = "An application's token.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn status<P: Platform>(
    State(mec): State<Arc<Mec<P>>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.orchestrator()?;
    Ok(Json(mec.platform.update_status()))
}

/// Install a signed bundle
///
/// Needs a token for everything. The answer comes when the image is written beside what runs; from then on the box tries
/// it by itself, starts anew for that, and keeps it if it does as well as before.
#[utoipa::path(post, path = "/api/v1/update", operation_id = "installUpdate", tag = "update", security(("OAuth2" = ["mec:all"])),
    params(InstallQuery),
    request_body(content = SignedBundle, content_type = "application/octet-stream"),
    responses(
        (status = 202, description = "It is written and will be tried.", body = Value),
        (status = 400, description = "No bundle for this box: the detail says why.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "An application's token.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "An update is under way, the bundle is not newer than what runs, or nothing is updated here.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "There is no room, or the boot partition does not answer.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn install<P: Platform>(
    State(mec): State<Arc<Mec<P>>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<InstallQuery>, axum::extract::rejection::QueryRejection>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.orchestrator()?;
    let Query(query) =
        query.map_err(|_| Problem::bad_request("the only parameter is noWayBack=true or false"))?;
    let view = mec.platform.install_update(query.no_way_back, body).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Give up the update that is under way
///
/// Needs a token for everything. What was confirmed is not taken back.
#[utoipa::path(delete, path = "/api/v1/update", operation_id = "rollBackUpdate", tag = "update", security(("OAuth2" = ["mec:all"])), responses(
    (status = 200, description = "It is given up; the box goes back to the release before by itself.", body = Value),
    (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 403, description = "An application's token.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 409, description = "Nothing is under way that could be given up, or nothing is updated here.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, description = "The boot partition does not answer.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn roll_back<P: Platform>(
    State(mec): State<Arc<Mec<P>>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.orchestrator()?;
    mec.platform.roll_back_update().await.map(Json)
}
