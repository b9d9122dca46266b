//! `/api/v1/trust`: the keys that tokens are verified by, and what the box can prove to its own applications.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use edged_model::{InstanceId, Nonce};
use mec_api::Problem;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ProblemDetails;
use crate::package_management::hex;
use crate::{Application, Caller, Mec, Platform, Statement, Tokens};

/// Longest question: a nonce has 64 digits at most.
const QUESTION_MAX: usize = 1 << 10;
/// Time from one question of a caller to the next: a TPM quotes in less, and others ask it too.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, in an answer.
const COME_BACK_S: u32 = 1;

/// What anybody may ask.
pub(super) fn open(tokens: Arc<Tokens>) -> Router {
    Router::new()
        .route("/api/v1/trust/keys", get(keys))
        .with_state(tokens)
}

/// What an application may ask, below the layer that says who calls.
pub(super) fn closed<P: Platform>(mec: Arc<Mec<P>>) -> Router {
    let asking = Arc::new(Asking {
        mec,
        turns: Turns::default(),
    });
    Router::new()
        .route("/api/v1/trust/status", get(status::<P>))
        .route("/api/v1/trust/quote", post(quote::<P>))
        .with_state(asking)
}

pub(super) struct Asking<P> {
    mec: Arc<Mec<P>>,
    turns: Turns,
}

/// Who asked last and when; nobody's name is an operator's. As many as ask within [`PAUSE`], for the others are forgotten.
#[derive(Default)]
struct Turns(Mutex<BTreeMap<Option<InstanceId>, Question>>);

struct Question {
    asked: Instant,
    is_answered: bool,
}

impl Turns {
    /// Nothing where this caller's question before is not answered, or was asked less than [`PAUSE`] ago.
    fn take(&self, caller: Option<InstanceId>, now: Instant) -> Option<Turn<'_>> {
        let mut all = self.lock();
        all.retain(|_, one| !one.is_answered || now.saturating_duration_since(one.asked) < PAUSE);
        if all.contains_key(&caller) {
            return None;
        }
        let question = Question {
            asked: now,
            is_answered: false,
        };
        all.insert(caller.clone(), question);
        Some(Turn {
            turns: self,
            caller,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<InstanceId>, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only question of a caller, until it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    caller: Option<InstanceId>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(question) = self.turns.lock().get_mut(&self.caller) {
            question.is_answered = true;
        }
    }
}

/// Keys that verify tokens (RFC 7517, 5).
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "says what the answer is like")]
pub(super) struct KeySet {
    /// One key: `kty`, `crv`, `x`, `y`, `use`, `alg`, `kid`.
    keys: Vec<Value>,
}

/// A question to the box.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"nonce": "8f1c0d6a4e5b79239f1c0d6a4e5b7923"}))]
pub(super) struct QuoteRequest {
    /// What nobody asked before: 8 to 32 bytes in hexadecimal.
    #[schema(pattern = "^([0-9a-fA-F]{2}){8,32}$")]
    nonce: String,
}

/// The keys that tokens are verified by
///
/// For whoever does not want to ask the node about each token. A new key has a new `kid`.
#[utoipa::path(get, path = "/api/v1/trust/keys", tag = "trust",
    responses((status = 200, description = "A JSON Web Key Set.", body = KeySet)))]
async fn keys(State(tokens): State<Arc<Tokens>>) -> Json<Value> {
    Json(tokens.jwks())
}

/// Ask the box for a proof of itself
///
/// By an application's own token the answer says, signed by the box's TPM over the nonce: this instance runs this image
/// with this configuration, on this box, in this boot. By a token for everything it speaks of the box alone. `edgectl
/// trust verify` checks it.
#[utoipa::path(post, path = "/api/v1/trust/quote", tag = "trust", security(("OAuth2" = ["mec:instance"]), ("OAuth2" = ["mec:all"])),
    request_body = QuoteRequest,
    responses(
        (status = 200, description = "Evidence: statement, quote, signature, key and the log of the boot.", body = Value),
        (status = 400, description = "No nonce, or one that is too short or too long.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "The token of an application that runs elsewhere.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "The box has no TPM.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Longer than any question.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "This caller's question before is not answered yet, or not a second old.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "The TPM has too many questions before this one.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn quote<P: Platform>(
    State(asking): State<Arc<Asking<P>>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let application = application(&asking.mec, &caller)?;
    let nonce = nonce(body).await?;
    let caller = caller.instance().cloned();
    let turn = asking.turns.take(caller, Instant::now());
    let _turn = turn.ok_or_else(|| {
        Problem::too_many_requests(
            "this caller's question before is not answered yet, or not a second old; ask later",
            COME_BACK_S,
        )
    })?;
    let evidence = asking.mec.platform.attest(nonce, application).await?;
    Ok(Json(evidence))
}

/// Which promises about the box hold
///
/// Needs a token for everything; what `edgectl trust status` shows.
#[utoipa::path(get, path = "/api/v1/trust/status", operation_id = "trustStatus", tag = "trust", security(("OAuth2" = ["mec:all"])), responses(
    (status = 200, description = "One finding a promise: what it is about, how it is, since when, what to do.", body = Value),
    (status = 401, description = "No token, or none that counts.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 403, description = "An application's token.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests of this caller are under way.", body = ProblemDetails, content_type = "application/problem+json")))]
async fn status<P: Platform>(
    State(asking): State<Arc<Asking<P>>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.orchestrator()?;
    let unvouched = asking.mec.unvouched()?;
    asking.mec.platform.trust_status(unvouched).await.map(Json)
}

/// What the application that asks is; nothing for whoever is none.
fn application<P: Platform>(mec: &Mec<P>, caller: &Caller) -> Result<Option<Statement>, Problem> {
    let Some(own) = caller.instance() else {
        return Ok(None);
    };
    let picture = mec.platform.picture();
    let Some(Application::Hosted { instance, .. }) = picture.applications.get(own) else {
        return Err(Problem::forbidden(
            "the box proves what applications are that run on it; this one runs elsewhere",
        ));
    };
    let spec = serde_json::to_value(&instance.spec)
        .map_err(|error| Problem::internal(format!("the configuration has no JSON: {error}")))?;
    Ok(Some(Statement {
        instance: instance.id.to_string(),
        image: instance.image.manifest.to_string(),
        configuration: hex(digest(&SHA256, canonical(&spec).as_bytes()).as_ref()),
    }))
}

async fn nonce(body: Body) -> Result<Vec<u8>, Problem> {
    let body = to_bytes(body, QUESTION_MAX)
        .await
        .map_err(|_| Problem::too_large("a question for a proof is shorter"))?;
    let wrong = || {
        let (least, most) = (Nonce::BYTES.start() * 2, Nonce::BYTES.end() * 2);
        Problem::bad_request(format!(
            "a question for a proof is {{\"nonce\": \"{least} to {most} hexadecimal digits, two a byte\"}}"
        ))
    };
    let question: QuoteRequest = serde_json::from_slice(&body).map_err(|_| wrong())?;
    let nonce: Nonce = question.nonce.parse().map_err(|_| wrong())?;
    Ok(nonce.into_bytes())
}

/// JSON with its members in order and no space (RFC 8785, for what a specification holds: texts and whole numbers).
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
            let members = sorted.into_iter().map(|(name, value)| {
                format!("{}:{}", Value::String(name.clone()), canonical(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items = items.iter().map(canonical);
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_changes_no_configuration() {
        let a: Value = serde_json::from_str(r#"{"b":[1,{"y":"é","x":null}],"a":true}"#).unwrap();
        assert_eq!(canonical(&a), r#"{"a":true,"b":[1,{"x":null,"y":"é"}]}"#);
    }

    #[test]
    fn a_caller_asks_once_a_second_and_one_question_at_a_time() {
        let turns = Turns::default();
        let start = Instant::now();
        let first = turns.take(None, start);
        assert!(first.is_some());
        // However long the answer takes.
        assert!(turns.take(None, start + PAUSE * 2).is_none());
        let other = Some("0b5d8f0e-3a0c-4c8e-9d55-0f3d1c2b7a61".parse().unwrap());
        drop(turns.take(other, start).unwrap());
        drop(first);
        let almost = start + PAUSE / 2;
        assert!(turns.take(None, almost).is_none());
        // Nobody is remembered for longer than he has to wait.
        let second = turns.take(None, start + PAUSE);
        assert!(second.is_some());
        assert_eq!(turns.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_nonce_is_eight_to_thirty_two_bytes() {
        let ask = async |text: &str| nonce(Body::from(text.to_owned())).await;
        let good = format!(r#"{{"nonce":"{}"}}"#, "0f".repeat(8));
        assert_eq!(ask(&good).await.unwrap(), [0x0f; 8]);
        for text in [
            "",
            "{}",
            r#"{"nonce":"0f"}"#,
            r#"{"nonce":"+f+f+f+f+f+f+f+f"}"#,
            &format!(r#"{{"nonce":"{}"}}"#, "0f".repeat(33)),
            &format!(r#"{{"nonce":"{}0"}}"#, "0f".repeat(8)),
        ] {
            assert_eq!(ask(text).await.unwrap_err().status(), 400, "{text}");
        }
        assert_eq!(ask(&" ".repeat(2000)).await.unwrap_err().status(), 413);
    }
}
