//! Requests that keep the document reach the handler; all others are answered with the problem that says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::middleware::{Next, from_fn};
use http_body_util::BodyExt;
use mec_api::service_management::{self, *};
use mec_api::{ETag, MAX_JSON, MAX_URI, Prepared, Problem};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The token's subject, as a layer above the router would have found it.
#[derive(Clone)]
struct Subject(&'static str);

/// One service, and what the last query asked for.
struct Registry {
    service: ServiceInfo,
    asked: Mutex<Option<ListServices>>,
}

/// An operation that these tests do not call.
fn unused<T>() -> Result<T, Problem> {
    Err(Problem::new(StatusCode::IM_A_TEAPOT, "nobody asks this"))
}

impl ServiceManagement for Registry {
    type Caller = Subject;

    async fn list_services(
        &self,
        caller: Subject,
        request: ListServices,
    ) -> Result<ListServicesAnswer, Problem> {
        assert_eq!(caller.0, "5d3b");
        *self.asked.lock().unwrap() = Some(request);
        Ok(ListServicesAnswer::Ok {
            body: Prepared::json(serde_json::to_vec(&[&self.service]).unwrap().into()),
        })
    }
    async fn read_service(
        &self,
        _: Subject,
        request: ReadService,
    ) -> Result<ReadServiceAnswer, Problem> {
        if request.service_id != "a/b \u{e4}" {
            return Err(Problem::not_found("there is no such service"));
        }
        Ok(ReadServiceAnswer::Ok {
            etag: ETag::of(&self.service),
            body: self.service.clone(),
        })
    }
    async fn create_service(
        &self,
        _: Subject,
        request: CreateService,
    ) -> Result<CreateServiceAnswer, Problem> {
        Ok(CreateServiceAnswer::Created {
            location: "/mec_service_mgmt/v1/applications/5d3b/services/1".to_owned(),
            etag: ETag::of(&request.body),
            body: request.body,
        })
    }
    async fn replace_service(
        &self,
        _: Subject,
        request: ReplaceService,
    ) -> Result<ReplaceServiceAnswer, Problem> {
        if let Some(condition) = &request.if_match {
            condition.permits(&ETag::of(&self.service))?;
        }
        Ok(ReplaceServiceAnswer::Ok {
            etag: ETag::of(&request.body),
            body: request.body,
        })
    }
    async fn delete_service(
        &self,
        _: Subject,
        _: DeleteService,
    ) -> Result<DeleteServiceAnswer, Problem> {
        Ok(DeleteServiceAnswer::NoContent)
    }
    async fn create_subscription(
        &self,
        _: Subject,
        request: CreateSubscription,
    ) -> Result<CreateSubscriptionAnswer, Problem> {
        Ok(CreateSubscriptionAnswer::Created {
            location: "/there".to_owned(),
            body: request.body,
        })
    }
    async fn send_heartbeat(
        &self,
        _: Subject,
        _: SendHeartbeat,
    ) -> Result<SendHeartbeatAnswer, Problem> {
        Ok(SendHeartbeatAnswer::NoContent)
    }
    async fn list_transports(
        &self,
        _: Subject,
        _: ListTransports,
    ) -> Result<ListTransportsAnswer, Problem> {
        unused()
    }
    async fn list_instance_services(
        &self,
        _: Subject,
        _: ListInstanceServices,
    ) -> Result<ListInstanceServicesAnswer, Problem> {
        unused()
    }
    async fn read_instance_service(
        &self,
        _: Subject,
        _: ReadInstanceService,
    ) -> Result<ReadInstanceServiceAnswer, Problem> {
        unused()
    }
    async fn read_liveness(
        &self,
        _: Subject,
        _: ReadLiveness,
    ) -> Result<ReadLivenessAnswer, Problem> {
        unused()
    }
    async fn list_subscriptions(
        &self,
        _: Subject,
        _: ListSubscriptions,
    ) -> Result<ListSubscriptionsAnswer, Problem> {
        unused()
    }
    async fn read_subscription(
        &self,
        _: Subject,
        _: ReadSubscription,
    ) -> Result<ReadSubscriptionAnswer, Problem> {
        unused()
    }
    async fn delete_subscription(
        &self,
        _: Subject,
        _: DeleteSubscription,
    ) -> Result<DeleteSubscriptionAnswer, Problem> {
        unused()
    }
}

fn service() -> Value {
    json!({"serName": "detector", "version": "1", "state": "ACTIVE", "serializer": "JSON", "transportId": "mqtt"})
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry {
        service: serde_json::from_value(service()).unwrap(),
        asked: Mutex::new(None),
    })
}

/// The interface where it usually is, below a layer that knows every caller.
fn served(registry: Arc<Registry>) -> Router {
    let known = from_fn(|mut request: Request, next: Next| async {
        request.extensions_mut().insert(Subject("5d3b"));
        next.run(request).await
    });
    Router::new()
        .nest(
            service_management::BASE,
            service_management::router(registry),
        )
        .layer(known)
}

const SERVICES: &str = "/mec_service_mgmt/v1/services";
const OWN: &str = "/mec_service_mgmt/v1/applications/5d3b/services";

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn sent(request: Request) -> Response<Body> {
    served(registry()).oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The answer is a problem with this status; its detail.
async fn problem(request: Request, status: u16) -> String {
    let response = sent(request).await;
    assert_eq!(response.status().as_u16(), status);
    let form = response.headers().get("content-type").unwrap();
    assert_eq!(form, "application/problem+json");
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string());
    problem["detail"].as_str().unwrap().to_owned()
}

async fn refused_body(body: &Value) -> String {
    problem(request("POST", OWN, &[], body.to_string()), 400).await
}

#[tokio::test]
async fn parameters_arrive_decoded_and_typed() {
    let registry = registry();
    let query = "?ser_name=a+b&ser_name=c%26d&scope_of_locality=MEC_HOST&is_local=false";
    let get = request("GET", &format!("{SERVICES}{query}"), &[], Body::empty());
    let response = served(registry.clone()).oneshot(get).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let asked = registry.asked.lock().unwrap().take().unwrap();
    assert_eq!(asked.ser_name.unwrap(), ["a b", "c&d"]);
    assert_eq!(asked.scope_of_locality, Some(LocalityType::MecHost));
    assert_eq!(asked.is_local, Some(false));
    assert_eq!(asked.ser_instance_id, None);
}

#[tokio::test]
async fn segments_of_the_path_arrive_decoded() {
    let path = format!("{SERVICES}/a%2Fb%20%C3%A4");
    let response = sent(request("GET", &path, &[], Body::empty())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("etag"));
}

#[tokio::test]
async fn a_new_service_is_answered_with_its_place_and_version() {
    let response = sent(request("POST", OWN, &[], service().to_string())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let headers = response.headers();
    assert_eq!(headers["location"], format!("{OWN}/1"));
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["etag"].to_str().unwrap().starts_with('"'));
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body, service());
}

#[tokio::test]
async fn null_is_absent_and_unknown_members_are_left_alone() {
    let mut body = service();
    body["serCategory"] = Value::Null;
    body["vendorSpecific"] = json!({"x": 1});
    let response = sent(request("POST", OWN, &[], body.to_string())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body, service());
}

#[tokio::test]
async fn a_member_at_fault_is_named_by_its_path() {
    let mut body = service();
    body["transportInfo"] = json!({"id": "x", "name": "x", "type": "PIGEON"});
    let detail = refused_body(&body).await;
    assert!(detail.starts_with("transportInfo.type: "), "{detail}");
    assert!(detail.contains("PIGEON"), "{detail}");

    let mut body = service();
    body["livenessInterval"] = json!(-1);
    let detail = refused_body(&body).await;
    assert!(detail.starts_with("livenessInterval: "), "{detail}");
    assert!(detail.contains("an integer from 0"), "{detail}");

    let mut body = service();
    body.as_object_mut().unwrap().remove("serName");
    let detail = refused_body(&body).await;
    assert!(detail.contains("missing member `serName`"), "{detail}");
}

#[tokio::test]
async fn a_rule_that_does_not_hold_is_named_as_well() {
    let mut body = service();
    body["transportInfo"] = json!({
        "id": "x", "name": "x", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1", "endpoint": {},
        "security": {"oAuth2Info": {"grantTypes": []}},
    });
    let detail = refused_body(&body).await;
    assert_eq!(
        detail,
        "transportInfo.security.oAuth2Info.grantTypes: 0 items where 1 or more are taken"
    );

    let path = "/mec_service_mgmt/v1/applications/5d3b/subscriptions";
    let body = json!({"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": "not a uri"});
    let detail = problem(request("POST", path, &[], body.to_string()), 400).await;
    assert_eq!(detail, "callbackReference: `not a uri` is not a URI");
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    for body in [
        "",
        "  ",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"serName\":\"a\",\"serName\":\"b\"}",
    ] {
        problem(request("POST", OWN, &[], body), 400).await;
    }
    let after = format!("{} x", service());
    problem(request("POST", OWN, &[], after), 400).await;
    let detail = problem(request("POST", OWN, &[], vec![b'"', 0xff, b'"']), 400).await;
    assert!(detail.contains("UTF-8"), "{detail}");
}

#[tokio::test]
async fn an_array_is_no_object_and_an_object_is_no_word() {
    let path = format!("{OWN}/1/liveness");
    for body in [
        r#"["ACTIVE"]"#,
        r#"{"state": {"ACTIVE": null}}"#,
        r#"{"state": ["ACTIVE"]}"#,
    ] {
        problem(request("PATCH", &path, &[], body), 400).await;
    }
    let right = request("PATCH", &path, &[], r#"{"state": "ACTIVE"}"#);
    assert_eq!(sent(right).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_a_query_cannot_say_is_refused() {
    for query in [
        "color=red",
        "is_local=true&is_local=true",
        "is_local=maybe",
        "is_local=",
        "scope_of_locality=MOON",
        "ser_name=%zz",
        "ser_name=%ff",
    ] {
        let path = format!("{SERVICES}?{query}");
        problem(request("GET", &path, &[], Body::empty()), 400).await;
    }
    for path in ["%zz", "%ff", "%"] {
        let path = format!("{SERVICES}/{path}");
        problem(request("GET", &path, &[], Body::empty()), 400).await;
    }
}

#[tokio::test]
async fn a_malformed_condition_is_refused_and_a_stale_one_fails() {
    let path = format!("{OWN}/1");
    let put = |tag: &str| request("PUT", &path, &[("If-Match", tag)], service().to_string());
    problem(put("without quotes"), 400).await;
    problem(put("\"stale\""), 412).await;
    problem(put("W/\"stale\""), 412).await;
    let current: ServiceInfo = serde_json::from_value(service()).unwrap();
    let current = ETag::of(&current).to_string();
    for tag in [
        current.clone(),
        format!("\"stale\", {current}"),
        "*".to_owned(),
    ] {
        assert_eq!(sent(put(&tag)).await.status(), StatusCode::OK, "{tag}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    for path in [
        "/mec_service_mgmt/v1/nothing",
        "/mec_service_mgmt/v1/services/1/2",
    ] {
        problem(request("GET", path, &[], Body::empty()), 404).await;
    }
}

#[tokio::test]
async fn an_unknown_method_is_answered_with_those_there_are() {
    for method in ["PATCH", "OPTIONS", "TRACE", "BREW"] {
        let response = sent(request(method, OWN, &[], Body::empty())).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
}

#[tokio::test]
async fn head_is_get_without_content() {
    let path = format!("{SERVICES}/a%2Fb%20%C3%A4");
    let response = sent(request("HEAD", &path, &[], Body::empty())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("etag"));
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn an_accept_that_cannot_be_satisfied_is_refused() {
    for accept in [
        "text/html",
        "application/json;q=0",
        "application/*;q=0.0",
        "image/*",
    ] {
        problem(
            request("GET", SERVICES, &[("Accept", accept)], Body::empty()),
            406,
        )
        .await;
    }
    let both = "application/problem+json, application/json;q=0.1";
    for accept in ["*/*", "application/*", "text/html, application/json", both] {
        let get = request("GET", SERVICES, &[("Accept", accept)], Body::empty());
        assert_eq!(sent(get).await.status(), StatusCode::OK, "{accept}");
    }
    let path = format!("{OWN}/1");
    let delete = |accept| request("DELETE", &path, &[("Accept", accept)], Body::empty());
    problem(delete("text/html"), 406).await;
    assert_eq!(sent(delete("application/problem+json")).await.status(), 204);
}

#[tokio::test]
async fn a_body_in_another_form_is_refused() {
    for form in [
        "text/plain",
        "application/xml",
        "application/json; charset=latin1",
        "",
        "json",
    ] {
        let post = request(
            "POST",
            OWN,
            &[("Content-Type", form)],
            service().to_string(),
        );
        problem(post, 415).await;
    }
    for form in ["application/json", "Application/JSON; charset=UTF-8", "*/*"] {
        let post = request(
            "POST",
            OWN,
            &[("Content-Type", form)],
            service().to_string(),
        );
        assert_eq!(sent(post).await.status(), StatusCode::CREATED, "{form}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_announced_or_not() {
    let mut body = service();
    body["version"] = json!("1".repeat(MAX_JSON));
    let body = body.to_string();
    let length = body.len().to_string();
    problem(
        request("POST", OWN, &[("Content-Length", &length)], body.clone()),
        413,
    )
    .await;
    problem(request("POST", OWN, &[], body), 413).await;
}

#[tokio::test]
async fn a_body_of_the_longest_length_is_taken() {
    let body = service().to_string();
    let padded = body.clone() + &" ".repeat(MAX_JSON - body.len());
    assert_eq!(sent(request("POST", OWN, &[], padded)).await.status(), 201);
}

#[tokio::test]
async fn a_uri_that_is_too_long_is_refused_with_its_prefix_counted() {
    let fits = MAX_URI - SERVICES.len() - "?ser_name=".len();
    let path = |length| format!("{SERVICES}?ser_name={}", "a".repeat(length));
    problem(request("GET", &path(fits + 1), &[], Body::empty()), 414).await;
    let longest = request("GET", &path(fits), &[], Body::empty());
    assert_eq!(sent(longest).await.status(), StatusCode::OK);
    let nowhere = format!("/mec_service_mgmt/v1/{}", "a".repeat(MAX_URI));
    problem(request("GET", &nowhere, &[], Body::empty()), 414).await;
}

#[tokio::test]
async fn what_comes_first_is_answered_first() {
    let long = format!("{OWN}?x={}", "a".repeat(MAX_URI));
    let all = [("Accept", "text/html"), ("Content-Type", "text/plain")];
    let body = "x".repeat(MAX_JSON + 1);
    problem(request("POST", &long, &all, body.clone()), 414).await;
    let wrong = format!("{OWN}?x=1");
    problem(request("POST", &wrong, &all, body.clone()), 406).await;
    problem(request("POST", &wrong, &all[1..], body.clone()), 415).await;
    problem(request("POST", &wrong, &[], body), 413).await;
    problem(request("POST", &wrong, &[], "{}"), 400).await;
}

#[tokio::test]
async fn nobody_known_is_nobody_served() {
    let router = service_management::router(registry());
    let get = request("GET", "/services", &[], Body::empty());
    let response = router.oneshot(get).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer realm=\"mec\""
    );
}

#[tokio::test]
async fn a_status_that_no_document_declares_is_sent_all_the_same() {
    let get = request("GET", "/mec_service_mgmt/v1/transports", &[], Body::empty());
    problem(get, 418).await;
}
