//! Registries that lie. Each case is refused with a reason of its own, nothing of it is recorded, and the same store
//! still takes an honest image afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use edged_image::{ContentStore, DOCUMENT_MAX, Image, ImageError, PullEvent, Refusal};
use fixture::*;
use serde_json::{Value, json};

fn quiet(_: PullEvent) {}

async fn pull(store: &ContentStore, site: Site, rest: &str) -> Result<Image, ImageError> {
    let server = Server::site(site).await;
    puller(store, &server.address.to_string())
        .pull(&server.reference(rest), &quiet)
        .await
}

/// An honest image with its manifest bent, served by tag.
fn bent(bend: impl FnOnce(&mut Value)) -> Site {
    let mut parts = Parts::new();
    bend(&mut parts.manifest);
    parts.site()
}

/// An honest image with its configuration bent before it is described.
fn reconfigured(bend: impl FnOnce(&mut Value)) -> Site {
    let mut parts = Parts::new();
    bend(&mut parts.config);
    parts.describe();
    parts.site()
}

fn served(reply: Reply) -> Site {
    [("manifests/1".to_owned(), reply)].into()
}

fn index_of(entries: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
        .to_string()
        .into_bytes()
}

fn entry(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes).as_str(), "size": bytes.len()})
}

/// Replaces what is served for the first layer.
fn layer_served(change: impl FnOnce(Vec<u8>) -> Reply) -> Site {
    let parts = Parts::new();
    let mut site = parts.site();
    let layer = parts.layers[0].clone();
    site.insert(format!("blobs/{}", digest(&layer)), change(layer));
    site
}

/// Three indexes, each in the next, around an honest image.
fn nested() -> Site {
    let parts = Parts::new();
    let mut site = parts.site();
    let mut inner = parts.manifest.to_string().into_bytes();
    let mut media_type = MANIFEST;
    for _ in 0..3 {
        inner = index_of(&[entry(media_type, &inner)]);
        media_type = INDEX;
        site.insert(
            format!("manifests/{}", digest(&inner)),
            Reply::typed(INDEX, inner.clone()),
        );
    }
    site.insert("manifests/1".to_owned(), Reply::typed(INDEX, inner));
    site
}

type Case = (&'static str, Site, fn(&Refusal) -> bool);

fn documents() -> Vec<Case> {
    let manifest = || Parts::new().manifest.to_string().into_bytes();
    let other = digest(b"another");
    let pad = " ".repeat(DOCUMENT_MAX);
    vec![
        (
            "a header that names another digest",
            served(
                Reply::typed(MANIFEST, manifest()).header("Docker-Content-Digest", other.as_str()),
            ),
            |it| matches!(it, Refusal::HeaderDigest { .. }),
        ),
        (
            "a manifest above the limit",
            served(Reply::typed(MANIFEST, format!("{{{pad}}}").into_bytes())),
            |it| {
                matches!(
                    it,
                    Refusal::DocumentTooLarge {
                        document: "manifest",
                        ..
                    }
                )
            },
        ),
        (
            "a manifest without an end",
            served(Reply {
                endless: Some(vec![b' '; 65536]),
                ..Reply::typed(MANIFEST, b"{".to_vec())
            }),
            |it| matches!(it, Refusal::DocumentTooLarge { .. }),
        ),
        (
            "a manifest that is no JSON",
            served(Reply::typed(MANIFEST, b"<html>".to_vec())),
            |it| {
                matches!(
                    it,
                    Refusal::Syntax {
                        document: "manifest",
                        ..
                    }
                )
            },
        ),
        (
            "a manifest nested as deep as the stack",
            served(Reply::typed(
                MANIFEST,
                format!("{{\"schemaVersion\":2,\"layers\":{}", "[".repeat(100_000)).into_bytes(),
            )),
            |it| matches!(it, Refusal::Syntax { .. }),
        ),
        (
            "schema 1",
            bent(|it| it["schemaVersion"] = json!(1)),
            |it| *it == Refusal::SchemaVersion(1),
        ),
        (
            "a manifest that is an index as well",
            bent(|it| it["manifests"] = json!([])),
            |it| *it == Refusal::Ambiguous,
        ),
        (
            "a document of no kind",
            served(Reply::typed(MANIFEST, br#"{"schemaVersion":2}"#.to_vec())),
            |it| *it == Refusal::NeitherKind,
        ),
        (
            "a manifest announced as an index",
            served(Reply::typed(INDEX, manifest())),
            |it| matches!(it, Refusal::KindMismatch { .. }),
        ),
        ("an index three deep", nested(), |it| {
            matches!(it, Refusal::IndexTooDeep(_))
        }),
        (
            "an index of other machines",
            served(Reply::typed(
                INDEX,
                index_of(&[
                    json!({"mediaType": MANIFEST, "digest": other.as_str(), "size": 2, "platform": {"os": "linux", "architecture": "s390x"}}),
                ]),
            )),
            |it| matches!(it, Refusal::NoPlatform { .. }),
        ),
        (
            "an index of a thousand and more",
            served(Reply::typed(
                INDEX,
                index_of(&vec![entry(MANIFEST, b"x"); 1025]),
            )),
            |it| matches!(it, Refusal::IndexTooLong { count: 1025, .. }),
        ),
        (
            "a configuration that is a chart",
            bent(|it| {
                it["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
            }),
            |it| matches!(it, Refusal::ConfigMediaType(_)),
        ),
        (
            "a configuration said to be huge",
            bent(|it| it["config"]["size"] = json!(DOCUMENT_MAX + 1)),
            |it| {
                matches!(
                    it,
                    Refusal::DocumentTooLarge {
                        document: "configuration",
                        ..
                    }
                )
            },
        ),
        (
            "a layer of an unknown type",
            bent(|it| it["layers"][1]["mediaType"] = json!("application/x-7z")),
            |it| matches!(it, Refusal::LayerMediaType { number: 2, .. }),
        ),
        (
            "a foreign layer",
            bent(|it| {
                it["layers"][0]["mediaType"] =
                    json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
            }),
            |it| *it == Refusal::ForeignLayer(1),
        ),
        ("no layers", bent(|it| it["layers"] = json!([])), |it| {
            *it == Refusal::NoLayers
        }),
        (
            "too many layers",
            bent(|it| it["layers"] = vec![it["layers"][0].clone(); 129].into()),
            |it| matches!(it, Refusal::TooManyLayers { count: 129, .. }),
        ),
        (
            "a layer named by SHA-512",
            bent(|it| it["layers"][0]["digest"] = json!(format!("sha512:{}", "a".repeat(128)))),
            |it| matches!(it, Refusal::DigestAlgorithm(_)),
        ),
        (
            "a layer said to be huge",
            bent(|it| it["layers"][0]["size"] = json!(1u64 << 60)),
            |it| matches!(it, Refusal::BlobTooLarge { .. }),
        ),
        (
            "layers said to be huge together",
            bent(|it| {
                it["layers"][0]["size"] = json!(8u64 << 30);
                it["layers"] = vec![it["layers"][0].clone(); 3].into();
            }),
            |it| matches!(it, Refusal::ImageTooLarge { .. }),
        ),
        (
            "fewer layers than the configuration has",
            bent(|it| drop(it["layers"].as_array_mut().unwrap().pop())),
            |it| {
                *it == Refusal::LayerCount {
                    layers: 1,
                    diff_ids: 2,
                }
            },
        ),
        (
            "a configuration for another machine",
            reconfigured(|it| it["architecture"] = json!("s390x")),
            |it| matches!(it, Refusal::WrongPlatform { .. }),
        ),
        (
            "a configuration for another system",
            reconfigured(|it| it["os"] = json!("windows")),
            |it| matches!(it, Refusal::WrongPlatform { .. }),
        ),
        (
            "a root file system that is no stack",
            reconfigured(|it| it["rootfs"]["type"] = json!("disk")),
            |it| matches!(it, Refusal::RootFsType(_)),
        ),
        (
            "an environment without a name",
            reconfigured(|it| it["config"]["Env"] = json!(["=x"])),
            |it| matches!(it, Refusal::Process { member: "Env", .. }),
        ),
        (
            "a relative working folder",
            reconfigured(|it| it["config"]["WorkingDir"] = json!("../../etc")),
            |it| {
                matches!(
                    it,
                    Refusal::Process {
                        member: "WorkingDir",
                        ..
                    }
                )
            },
        ),
        (
            "a command with a zero byte",
            reconfigured(|it| it["config"]["Cmd"] = json!(["a\u{0}b"])),
            |it| matches!(it, Refusal::Process { member: "Cmd", .. }),
        ),
        (
            "a user with a line break",
            reconfigured(|it| it["config"]["User"] = json!("0\nroot")),
            |it| matches!(it, Refusal::Process { member: "User", .. }),
        ),
        (
            "a port that is none",
            reconfigured(|it| it["config"]["ExposedPorts"] = json!({"70000/tcp": {}})),
            |it| {
                matches!(
                    it,
                    Refusal::Process {
                        member: "ExposedPorts",
                        ..
                    }
                )
            },
        ),
    ]
}

fn blobs_that_lie() -> Vec<Case> {
    let swapped_config = || {
        let parts = Parts::new();
        let mut site = parts.site();
        let config = parts.config.to_string();
        site.insert(
            format!("blobs/{}", digest(config.as_bytes())),
            Reply::ok(config.replace("true", "evil").into_bytes()),
        );
        site
    };
    let looping = || {
        let inner = index_of(&[]);
        let outer = index_of(&[entry(INDEX, &inner)]);
        // Whatever digest is asked for, the outer index comes again.
        let reply = Reply::typed(INDEX, outer);
        Site::from([
            ("manifests/1".to_owned(), reply.clone()),
            (format!("manifests/{}", digest(&inner)), reply),
        ])
    };
    let lying_entry = || {
        let parts = Parts::new();
        let manifest = parts.manifest.to_string().into_bytes();
        let mut lie = entry(MANIFEST, &manifest);
        lie["size"] = json!(manifest.len() + 1);
        let mut site = parts.site();
        site.insert(
            "manifests/1".to_owned(),
            Reply::typed(INDEX, index_of(&[lie])),
        );
        site
    };
    vec![
        ("an index that leads to itself", looping(), |it| {
            matches!(it, Refusal::WrongDigest { .. })
        }),
        ("an entry with a wrong size", lying_entry(), |it| {
            matches!(it, Refusal::WrongSize { .. })
        }),
        ("another configuration", swapped_config(), |it| {
            matches!(it, Refusal::WrongDigest { .. })
        }),
        (
            "a layer of other content",
            layer_served(|mut it| {
                it[7] ^= 1;
                Reply::ok(it)
            }),
            |it| matches!(it, Refusal::WrongDigest { .. }),
        ),
        (
            "a layer with more",
            layer_served(|mut it| {
                it.push(0);
                Reply::ok(it)
            }),
            |it| {
                matches!(
                    it,
                    Refusal::WrongSize {
                        described: 4000,
                        found: 4001,
                        ..
                    }
                )
            },
        ),
        (
            "a layer with less",
            layer_served(|mut it| {
                it.pop();
                Reply::ok(it)
            }),
            |it| {
                matches!(
                    it,
                    Refusal::WrongSize {
                        described: 4000,
                        found: 3999,
                        ..
                    }
                )
            },
        ),
        (
            "a layer without an end",
            layer_served(|it| Reply {
                endless: Some(vec![0; 65536]),
                ..Reply::ok(it)
            }),
            |it| {
                matches!(
                    it,
                    Refusal::WrongSize {
                        described: 4000,
                        ..
                    }
                )
            },
        ),
    ]
}

#[tokio::test]
async fn every_lie_is_refused_for_its_own_reason_and_the_store_stays_sound() {
    let (_folder, store) = store();
    let mut reasons = BTreeSet::new();
    let cases: Vec<Case> = documents().into_iter().chain(blobs_that_lie()).collect();
    let count = cases.len();
    for (lie, site, expected) in cases {
        // What earlier cases left is honest and would be used.
        store.gc(&[]).await.unwrap();
        let error = pull(&store, site, "app:1").await.expect_err(lie);
        let refusal = error.refusal().unwrap_or_else(|| panic!("{lie}: {error}"));
        assert!(expected(refusal), "{lie}: {refusal:?}");
        let text = error.to_string();
        assert!(
            text.len() < 600 && !text.contains(['\n', '\u{1b}']),
            "{lie}: {text:?}"
        );
        reasons.insert(refusal.to_string());
        assert_eq!(store.images().await.unwrap(), [], "{lie} was recorded");
    }
    // Two cases share the sentence about the limit of a manifest; no others.
    assert_eq!(reasons.len(), count - 1, "{reasons:#?}");
    pull(&store, Parts::new().site(), "app:1").await.unwrap();
    store.gc(&[]).await.unwrap();
    assert_eq!(blobs(&store).len(), 4, "only the honest image is left");
}

#[tokio::test]
async fn another_manifest_than_the_pinned_one_is_refused() {
    let (_folder, store) = store();
    let wanted = digest(b"the manifest that was signed");
    let reply = Reply::typed(MANIFEST, Parts::new().manifest.to_string().into_bytes());
    let site = Site::from([(format!("manifests/{wanted}"), reply)]);
    let error = pull(&store, site, &format!("app@{wanted}"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.refusal(), Some(Refusal::WrongDigest { expected, .. }) if *expected == wanted),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_that_fails_is_asked_again_but_not_for_ever() {
    let (_folder, store) = store();
    let error = pull(
        &store,
        served(Reply::status(
            503,
            r#"{"errors":[{"code":"X","message":"full \u001b[31mmoon"}]}"#,
        )),
        "app:1",
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("answers 503: full  [31mmoon"),
        "{error}"
    );

    for reply in [
        layer_served(|it| Reply {
            cut: Some(100),
            ..Reply::ok(it)
        }),
        layer_served(|it| Reply {
            stall: true,
            ..Reply::ok(it[..100].to_vec()).header("Content-Length", "4000")
        }),
        layer_served(|it| Reply {
            cut: Some(0),
            ..Reply::ok(it)
        }),
    ] {
        let error = pull(&store, reply, "app:1").await.unwrap_err();
        assert!(matches!(error, ImageError::BrokenOff { .. }), "{error}");
    }
    // Begins anew each time, by a little more or less: no progress, however much is sent.
    let sent = AtomicUsize::new(0);
    let mut parts = Parts::new();
    parts.layers[0] = noise(6_000_000);
    parts.config["rootfs"]["diff_ids"][0] = digest(&parts.layers[0]).as_str().into();
    parts.describe();
    let (site, large) = (parts.site(), digest(&parts.layers[0]));
    let server = Server::start(move |request| {
        let found = site
            .iter()
            .find(|(path, _)| request.path.ends_with(path.as_str()));
        let mut reply = found.map_or_else(|| Reply::status(404, ""), |(_, reply)| reply.clone());
        if request.path.ends_with(large.as_str()) {
            let more = sent.fetch_add(1, Ordering::SeqCst) % 2 * 2_000_000;
            reply.cut = Some(1_500_000 + more);
        }
        reply
    })
    .await;
    let error = puller(&store, &server.address.to_string())
        .pull(&server.reference("app:1"), &quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::BrokenOff { .. }), "{error}");

    let failures = AtomicUsize::new(0);
    let honest = Parts::new().site();
    let server = Server::start(move |request| {
        if request.path.contains("/blobs/") && failures.fetch_add(1, Ordering::SeqCst) < 2 {
            return Reply::status(502, "");
        }
        let found = honest
            .iter()
            .find(|(path, _)| request.path.ends_with(path.as_str()));
        found.map_or_else(|| Reply::status(404, ""), |(_, reply)| reply.clone())
    })
    .await;
    puller(&store, &server.address.to_string())
        .pull(&server.reference("app:1"), &quiet)
        .await
        .unwrap();
}

#[tokio::test]
async fn answers_outside_of_the_protocol_are_told_apart() {
    let (_folder, store) = store();
    let gone = layer_served(|_| Reply::status(404, ""));
    assert!(matches!(
        pull(&store, gone, "app:1").await.unwrap_err(),
        ImageError::BlobNotFound { .. }
    ));

    let endless_error = served(Reply {
        endless: Some(vec![b'x'; 65536]),
        ..Reply::status(400, "")
    });
    assert!(matches!(
        pull(&store, endless_error, "app:1").await.unwrap_err(),
        ImageError::Status { status: 400, .. }
    ));

    let redirecting = served(Reply::status(302, "").header("Location", "/v2/app/manifests/1"));
    assert!(matches!(
        pull(&store, redirecting, "app:1").await.unwrap_err(),
        ImageError::Protocol { .. }
    ));

    // Half of the layer is here, and the registry answers the range with another one.
    let parts = Parts::new();
    let layer = digest(&parts.layers[0]);
    std::fs::write(
        store.folder().join("partial").join(layer.hex()),
        &parts.layers[0][..1000],
    )
    .unwrap();
    let part = Reply {
        status: 206,
        ..Reply::ok(parts.layers[0][..3000].to_vec()).header("Content-Range", "bytes 0-2999/4000")
    };
    let mut site = parts.site();
    site.insert(format!("blobs/{layer}"), part);
    assert!(matches!(
        pull(&store, site, "app:1").await.unwrap_err(),
        ImageError::Protocol { .. }
    ));
}

/// A registry that wants a bearer token and whose token service answers `token`.
async fn token_registry(token: Reply, accepted: &'static str) -> Server {
    let site = Parts::new().site();
    let address = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = address.clone();
    let server = Server::start(move |request: &Request| {
        if request.path.starts_with("/token?") {
            assert!(
                request.path.contains("scope=repository%3Aapp%3Apull")
                    && request.path.contains("service=here")
            );
            return token.clone();
        }
        if request.headers.get("authorization").map(String::as_str) != Some(accepted) {
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"here\"",
                own.get().unwrap()
            );
            return Reply::status(401, "").header("WWW-Authenticate", &challenge);
        }
        let found = site
            .iter()
            .find(|(path, _)| request.path.ends_with(path.as_str()));
        found.map_or_else(|| Reply::status(404, ""), |(_, reply)| reply.clone())
    })
    .await;
    address.set(server.address).unwrap();
    server
}

#[tokio::test]
async fn a_token_is_fetched_once_and_a_strange_one_is_refused() {
    let good = Reply::ok(br#"{"token":"abc","expires_in":300}"#.to_vec());
    let (_folder, store) = store();
    let server = token_registry(good.clone(), "Bearer abc").await;
    puller(&store, &server.address.to_string())
        .pull(&server.reference("app:1"), &quiet)
        .await
        .unwrap();
    let tokens = server
        .seen
        .lock()
        .unwrap()
        .iter()
        .filter(|it| it.path.starts_with("/token"))
        .count();
    assert_eq!(tokens, 1);

    let refused = token_registry(good, "Bearer other").await;
    let error = puller(&store, &refused.address.to_string())
        .pull(&refused.reference("app:1"), &quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::Unauthorised { .. }), "{error}");
    for token in [
        Reply::ok(br#"{"token":"a\r\nHost: evil"}"#.to_vec()),
        Reply::ok(b"{}".to_vec()),
        Reply {
            endless: Some(vec![b' '; 65536]),
            ..Reply::ok(Vec::new())
        },
    ] {
        let server = token_registry(token, "Bearer abc").await;
        let error = puller(&store, &server.address.to_string())
            .pull(&server.reference("app:1"), &quiet)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::Protocol { .. }), "{error}");
    }
}
