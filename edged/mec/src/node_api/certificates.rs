//! `/api/v1/certificates`: certificates of the box's authority for the services of its applications.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Extension, Router};
use edged_authority::REQUEST_MAX;
use mec_api::Problem;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::ProblemDetails;
use crate::{Application, Caller, Mec, Platform};

/// What is answered (RFC 8555, 9.1).
const CHAIN: &str = "application/pem-certificate-chain";

/// What an application may ask, below the layer that says who calls.
pub(super) fn closed<P: Platform>(mec: Arc<Mec<P>>) -> Router {
    let issuing = Arc::new(Issuing {
        mec,
        turn: Mutex::new(()),
    });
    Router::new()
        .route("/api/v1/certificates", post(issue::<P>))
        .with_state(issuing)
}

pub(super) struct Issuing<P> {
    mec: Arc<Mec<P>>,
    /// One after the other: the authority's key may be in a TPM, which does no two things at once.
    turn: Mutex<()>,
}

/// A request as `openssl req -new` writes it, PEM or DER.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "says what the request is like")]
pub(super) struct CertificateRequest(Vec<u8>);

/// Ask for a certificate
///
/// By an application's own token, with a request (PKCS #10) for a key of P-256 that the application made. The
/// certificate names the application's own host name, whatever the request says, serves and connects (`serverAuth`,
/// `clientAuth`), and lasts a day: ask again before. The chain ends with the box's authority.
#[utoipa::path(post, path = "/api/v1/certificates", operation_id = "issueCertificate", tag = "trust", security(("OAuth2" = ["mec:instance"])),
    request_body(content = CertificateRequest, content_type = "application/pkcs10"),
    responses(
        (status = 200, description = "The certificate and its authority's, PEM.", body = String, content_type = "application/pem-certificate-chain"),
        (status = 400, description = "No request, one for another kind of key, or one that its key did not sign.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "A token that is no application's that runs here.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Longer than any request.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn issue<P: Platform>(
    State(issuing): State<Arc<Issuing<P>>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let host = host(&issuing.mec, &caller)?;
    let request = to_bytes(body, REQUEST_MAX)
        .await
        .map_err(|_| Problem::too_large("a request for a certificate is shorter"))?;
    let _turn = issuing.turn.lock().await;
    let chain = issuing.mec.platform.certify(host, request.to_vec()).await?;
    Ok(([(header::CONTENT_TYPE, CHAIN)], chain))
}

/// The name of the application that asks.
fn host<P: Platform>(mec: &Mec<P>, caller: &Caller) -> Result<String, Problem> {
    let picture = mec.platform.picture();
    let own = caller.instance();
    match own.and_then(|id| picture.applications.get(id)) {
        Some(Application::Hosted { instance, .. }) => {
            Ok(format!("{}.app.{}", instance.spec.name, mec.facts.zone))
        }
        _ => Err(Problem::forbidden(
            "certificates are for applications that run on this box; ask with such a one's token",
        )),
    }
}
