//! Content that is not JSON: descriptors in several forms, packages as streams and in parts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use mec_api::package_management::{self, *};
use mec_api::{ETag, MAX_JSON, MediaType, Problem, Selected};
use serde_json::json;
use tower::ServiceExt;

/// What a package is here.
const PACKAGE: &[u8] = b"PK and so on";

struct Packages;

/// Operations that these tests do not call.
macro_rules! unused {
    ($($method:ident($request:ident) -> $answer:ident;)+) => {
        $(async fn $method(&self, (): (), _: $request) -> Result<$answer, Problem> {
            Err(Problem::unavailable("nobody asks this"))
        })+
    };
}

impl PackageManagement for Packages {
    type Caller = ();

    async fn list_packages(
        &self,
        (): (),
        request: ListPackages,
    ) -> Result<ListPackagesAnswer, Problem> {
        assert!(request.all_fields);
        assert!(!request.exclude_default);
        Ok(ListPackagesAnswer::Ok {
            link: request
                .nextpage_opaque_marker
                .is_none()
                .then(|| "<there>; rel=\"next\"".to_owned()),
            body: vec![Selected::of(json!({"id": "1"}))],
        })
    }
    async fn read_package_descriptor(
        &self,
        (): (),
        request: ReadPackageDescriptor,
    ) -> Result<ReadPackageDescriptorAnswer, Problem> {
        let etag = ETag::of(&request.app_pkg_id);
        Ok(match request.accept {
            MediaType::Text => ReadPackageDescriptorAnswer::OkText {
                etag,
                body: Body::from("tosca_definitions_version: x"),
            },
            MediaType::Zip => ReadPackageDescriptorAnswer::OkZip {
                etag,
                body: Body::from(PACKAGE),
            },
            MediaType::Json => ReadPackageDescriptorAnswer::OkJson {
                etag,
                body: Selected::of(json!({"appDId": "1"})),
            },
        })
    }
    async fn download_package(
        &self,
        (): (),
        request: DownloadPackage,
    ) -> Result<DownloadPackageAnswer, Problem> {
        let etag = ETag::of(&request.app_pkg_id);
        match request.range.as_deref() {
            None => Ok(DownloadPackageAnswer::Ok {
                etag,
                body: Body::from(PACKAGE),
            }),
            Some("bytes=0-1") => Ok(DownloadPackageAnswer::PartialContent {
                etag,
                content_range: "bytes 0-1/12".to_owned(),
                body: Body::from(&PACKAGE[..2]),
            }),
            Some(_) => Err(Problem::range_not_satisfiable("the package has 12 bytes")),
        }
    }
    async fn upload_package(
        &self,
        (): (),
        request: UploadPackage,
    ) -> Result<UploadPackageAnswer, Problem> {
        let content = request.body.collect().await;
        let content = content.map_err(|_| Problem::bad_request("it breaks off"))?;
        assert_eq!(content.to_bytes().len(), 2 * MAX_JSON);
        Ok(UploadPackageAnswer::Accepted)
    }
    async fn change_package(
        &self,
        (): (),
        request: ChangePackage,
    ) -> Result<ChangePackageAnswer, Problem> {
        Ok(ChangePackageAnswer::Ok {
            etag: ETag::of(&request.body),
            body: request.body,
        })
    }

    unused! {
        create_package(CreatePackage) -> CreatePackageAnswer;
        read_package(ReadPackage) -> ReadPackageAnswer;
        delete_package(DeletePackage) -> DeletePackageAnswer;
        list_onboarded_packages(ListOnboardedPackages) -> ListOnboardedPackagesAnswer;
        create_onboarded_package(CreateOnboardedPackage) -> CreateOnboardedPackageAnswer;
        read_onboarded_package(ReadOnboardedPackage) -> ReadOnboardedPackageAnswer;
        change_onboarded_package(ChangeOnboardedPackage) -> ChangeOnboardedPackageAnswer;
        delete_onboarded_package(DeleteOnboardedPackage) -> DeleteOnboardedPackageAnswer;
        read_onboarded_package_descriptor(ReadOnboardedPackageDescriptor) -> ReadOnboardedPackageDescriptorAnswer;
        download_onboarded_package(DownloadOnboardedPackage) -> DownloadOnboardedPackageAnswer;
        upload_onboarded_package(UploadOnboardedPackage) -> UploadOnboardedPackageAnswer;
        list_subscriptions(ListSubscriptions) -> ListSubscriptionsAnswer;
        create_subscription(CreateSubscription) -> CreateSubscriptionAnswer;
        read_subscription(ReadSubscription) -> ReadSubscriptionAnswer;
        delete_subscription(DeleteSubscription) -> DeleteSubscriptionAnswer;
    }
}

async fn sent(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = package_management::router(Arc::new(Packages)).layer(Extension(()));
    let request = request.body(body.into()).unwrap();
    router.oneshot(request).await.unwrap()
}

async fn content(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn accept_chooses_the_form_of_a_descriptor() {
    for (accept, form, begin) in [
        ("text/plain", "text/plain", "tosca"),
        (
            "application/zip;q=0.9, text/*;q=0.1",
            "application/zip",
            "PK",
        ),
        ("application/json", "application/json", "{"),
        ("*/*", "application/json", "{"),
    ] {
        let path = "/app_packages/1/appd";
        let response = sent("GET", path, &[("Accept", accept)], Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], form, "{accept}");
        assert!(response.headers().contains_key("etag"));
        assert!(content(response).await.starts_with(begin.as_bytes()));
    }
}

#[tokio::test]
async fn a_package_is_sent_whole_or_in_parts() {
    let path = "/app_packages/1/package_content";
    let whole = sent("GET", path, &[], Body::empty()).await;
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(content(whole).await, PACKAGE);

    let part = sent("GET", path, &[("Range", "bytes=0-1")], Body::empty()).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 0-1/12");
    assert_eq!(content(part).await, "PK");

    let beyond = sent("GET", path, &[("Range", "bytes=90-")], Body::empty()).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn an_upload_is_a_stream_without_the_bound_of_json() {
    let path = "/app_packages/1/package_content";
    let body = vec![0; 2 * MAX_JSON];
    for headers in [&[("Content-Type", "application/zip")][..], &[]] {
        let response = sent("PUT", path, headers, body.clone()).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
    let nothing = sent("PUT", path, &[], Body::empty()).await;
    assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
    let json = [("Content-Type", "application/json")];
    let response = sent("PUT", path, &json, "{}").await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_list_has_selected_members_and_a_next_page() {
    let path = "/app_packages?all_fields";
    let response = sent("GET", path, &[], Body::empty()).await;
    assert_eq!(response.headers()["link"], "<there>; rel=\"next\"");
    assert_eq!(content(response).await, r#"[{"id":"1"}]"#);
    let last = format!("{path}=&nextpage_opaque_marker=x");
    let response = sent("GET", &last, &[], Body::empty()).await;
    assert!(!response.headers().contains_key("link"));
}

#[tokio::test]
async fn one_of_two_spellings_is_needed() {
    let path = "/app_packages/1";
    let response = sent("PATCH", path, &[], "{}").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem: serde_json::Value = serde_json::from_slice(&content(response).await).unwrap();
    assert_eq!(
        problem["detail"],
        "body: one of operationalState, operationState is needed"
    );
    for body in [
        r#"{"operationState":"DISABLED"}"#,
        r#"{"operationalState":"DISABLED"}"#,
    ] {
        assert_eq!(
            sent("PATCH", path, &[], body).await.status(),
            StatusCode::OK
        );
    }
}
