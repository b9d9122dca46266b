//! Pulling from a real registry, filled by skopeo with images that umoci made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use edged_image::{Credential, ImageError, PullEvent, Puller, PullerConfig};
use edged_model::ImageReference;
use fixture::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn quiet(_: PullEvent) {}

/// A registry with `app:1`, and the digest of its manifest.
fn filled(registry: &Registry, filler: usize) -> String {
    let folder = TempDir::new().unwrap();
    let layout = umoci_image(folder.path(), "t", filler);
    skopeo_copy(
        &[],
        &format!("oci:{}:t", layout.display()),
        &format!("docker://{}/app:1", registry.address),
    );
    let raw = run(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            "--raw",
            &format!("docker://{}/app:1", registry.address),
        ],
    );
    digest(raw.as_bytes()).to_string()
}

#[tokio::test]
async fn a_tag_is_pulled_with_all_that_umoci_wrote() {
    let registry = Registry::start();
    let manifest = filled(&registry, 700_000);
    let (_folder, store) = store();
    let events = Mutex::new(Vec::new());
    let reference = registry.reference("app:1");
    let image = puller(&store, &registry.address)
        .pull(&reference, &|event| events.lock().unwrap().push(event))
        .await
        .unwrap();
    assert_eq!(image.manifest.as_str(), manifest);
    assert_eq!(image.layers.len(), 2);
    let process = &image.process;
    assert_eq!(
        (&process.entrypoint[..], &process.cmd[..]),
        (&["/bin/env".to_owned()][..], &["/srv/page".to_owned()][..])
    );
    assert_eq!(process.env, ["A=b=c"]);
    assert_eq!(
        (process.user.as_deref(), process.working_dir.as_str()),
        (Some("1000:1000"), "/srv")
    );
    assert_eq!(
        process
            .exposed_ports
            .iter()
            .map(|it| it.port)
            .collect::<Vec<_>>(),
        [53, 80]
    );
    assert_eq!(
        (
            process.stop_signal.as_deref(),
            process.labels["maker"].as_str()
        ),
        (Some("SIGINT"), "umoci")
    );
    assert!(image.created.is_some());
    for layer in &image.layers {
        let bytes = std::fs::read(store.blob_path(&layer.digest)).unwrap();
        assert_eq!(
            (digest(&bytes), bytes.len() as u64),
            (layer.digest.clone(), layer.size)
        );
    }
    assert_eq!(store.images().await.unwrap(), std::slice::from_ref(&image));
    // The store is a layout that others read.
    run(
        "skopeo",
        &[
            "inspect",
            "--config",
            &format!("oci:{}:{reference}", store.folder().display()),
        ],
    );
    let events = events.into_inner().unwrap();
    assert_eq!(
        (events.first(), events.last()),
        (Some(&PullEvent::Resolving), Some(&PullEvent::Done))
    );
    for layer in &image.layers {
        let (digest, total) = (layer.digest.clone(), layer.size);
        assert!(events.contains(&PullEvent::Layer {
            digest,
            done: total,
            total
        }));
    }
}

#[tokio::test]
async fn a_digest_that_is_here_needs_no_registry() {
    let registry = Registry::start();
    let reference = registry.reference(&format!("app@{}", filled(&registry, 10)));
    let (_folder, store) = store();
    let puller = puller(&store, &registry.address);
    let image = puller.pull(&reference, &quiet).await.unwrap();
    drop(registry);
    assert_eq!(puller.pull(&reference, &quiet).await.unwrap(), image);
}

#[tokio::test]
async fn a_list_gives_the_image_of_this_machine() {
    let registry = Registry::start();
    let ours = filled(&registry, 10);
    let url = |rest: &str| format!("http://{}/v2/app/{rest}", registry.address);
    let folder = TempDir::new().unwrap();
    let put = |value: &Value, path: &str, media_type: &str| {
        let file = folder.path().join("body");
        std::fs::write(&file, value.to_string()).unwrap();
        let content_type = format!("Content-Type: {media_type}");
        run(
            "curl",
            &[
                "-fsS",
                "-X",
                "PUT",
                "-H",
                &content_type,
                "--data-binary",
                &format!("@{}", file.display()),
                &url(path),
            ],
        );
        (
            digest(value.to_string().as_bytes()).to_string(),
            value.to_string().len(),
        )
    };
    let raw = run(
        "curl",
        &[
            "-fsS",
            "-H",
            &format!("Accept: {MANIFEST}"),
            &url("manifests/1"),
        ],
    );
    // The other platform's manifest differs by an annotation: only the list tells them apart.
    let mut other: Value = serde_json::from_str(&raw).unwrap();
    other["annotations"] = json!({"for": "another machine"});
    let (foreign, foreign_size) = put(&other, "manifests/other", MANIFEST);
    let host = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let entry = |digest: &str, size: usize, arch: &str| json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": arch}});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(&foreign, foreign_size, "s390x"), entry(&ours, raw.len(), host)]});
    let (list_digest, _) = put(&list, "manifests/multi", INDEX);
    let (_store_folder, store) = store();
    let puller = puller(&store, &registry.address);
    for reference in ["app:multi".to_owned(), format!("app@{list_digest}")] {
        let image = puller
            .pull(&registry.reference(&reference), &quiet)
            .await
            .unwrap();
        assert_eq!(image.manifest.as_str(), ours);
    }
}

#[tokio::test]
async fn a_login_is_used_where_it_is_asked_for_and_only_there() {
    let registry = Registry::with_login();
    let folder = TempDir::new().unwrap();
    let layout = umoci_image(folder.path(), "t", 10);
    let login = format!("{USER}:{PASSWORD}");
    let to = format!("docker://{}/app:1", registry.address);
    skopeo_copy(
        &["--dest-creds", &login],
        &format!("oci:{}:t", layout.display()),
        &to,
    );
    let (_store_folder, store) = store();
    let reference = registry.reference("app:1");
    let error = puller(&store, &registry.address)
        .pull(&reference, &quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::Unauthorised { .. }), "{error}");
    for (password, works) in [("wrong", false), (PASSWORD, true)] {
        let credential = Credential {
            username: USER.to_owned(),
            password: password.to_owned(),
        };
        assert!(!format!("{credential:?}").contains(password));
        let config = PullerConfig {
            insecure: vec![registry.address.clone()],
            credentials: [(registry.address.clone(), credential)].into(),
            patience: patience(),
            ..PullerConfig::default()
        };
        let pulled = Puller::new(store.clone(), config)
            .unwrap()
            .pull(&reference, &quiet)
            .await;
        assert_eq!(pulled.is_ok(), works, "{pulled:?}");
    }
}

#[tokio::test]
async fn what_the_registry_lacks_is_named() {
    let registry = Registry::start();
    let (_folder, store) = store();
    let reference = registry.reference("nothing:here");
    let error = puller(&store, &registry.address)
        .pull(&reference, &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ImageError::NotFound(missing) if *missing == reference),
        "{error}"
    );
    let address = registry.address.clone();
    drop(registry);
    let error = puller(&store, &address)
        .pull(&reference, &quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn plain_http_needs_leave() {
    let registry = Registry::start();
    let (_folder, store) = store();
    let puller = Puller::new(
        store,
        PullerConfig {
            patience: patience(),
            ..PullerConfig::default()
        },
    )
    .unwrap();
    let error = puller
        .pull(&registry.reference("app:1"), &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ImageError::PlainHttp(_))
            && error.to_string().contains("registries.insecure"),
        "{error}"
    );
}

/// Passes connections on to the registry and cuts each of the first `cuts` after `bytes` of answers.
async fn cutting_proxy(
    registry: String,
    cuts: usize,
    bytes: u64,
) -> (String, &'static AtomicUsize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cut: &'static AtomicUsize = Box::leak(Box::default());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&registry).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let up =
                    tokio::spawn(
                        async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                    );
                let limit = if cut.load(Ordering::SeqCst) < cuts {
                    bytes
                } else {
                    u64::MAX
                };
                let copied = tokio::io::copy(&mut from_server.take(limit), &mut to_client)
                    .await
                    .unwrap_or(0);
                if copied == limit {
                    cut.fetch_add(1, Ordering::SeqCst);
                }
                let _ = to_client.shutdown().await;
                up.abort();
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was_cut() {
    let registry = Registry::start();
    let size = 6_000_000;
    filled(&registry, size);
    let (proxy, cut) = cutting_proxy(registry.address.clone(), 3, 2_500_000).await;
    let (_folder, store) = store();
    let reference: ImageReference = format!("{proxy}/app:1").parse().unwrap();
    let most = Mutex::new(0u64);
    let back = AtomicUsize::new(0);
    let image = puller(&store, &proxy)
        .pull(&reference, &|event| {
            if let PullEvent::Layer { done, total, .. } = event
                && total > 1_000_000
            {
                let mut most = most.lock().unwrap();
                if done < *most {
                    back.fetch_add(1, Ordering::SeqCst);
                }
                *most = done.max(*most);
            }
        })
        .await
        .unwrap();
    assert!(cut.load(Ordering::SeqCst) >= 2, "the proxy cut nothing");
    assert_eq!(back.load(Ordering::SeqCst), 0, "a download began anew");
    assert!(
        image
            .layers
            .iter()
            .any(|layer| layer.size > size as u64 / 2)
    );
}

#[tokio::test]
async fn a_download_goes_on_after_a_restart_even_from_a_damaged_part() {
    let registry = Registry::start();
    filled(&registry, 3_000_000);
    let reference = registry.reference("app:1");
    let whole = {
        let (_folder, store) = store();
        puller(&store, &registry.address)
            .pull(&reference, &quiet)
            .await
            .unwrap()
    };
    let layer = whole.layers.iter().max_by_key(|layer| layer.size).unwrap();
    for (damage, reloads) in [(false, false), (true, true)] {
        let (_folder, store) = store();
        // One attempt each, and the line is cut half-way: what is left is what a killed edged leaves.
        let (proxy, _) = cutting_proxy(registry.address.clone(), usize::MAX, layer.size / 2).await;
        let mut config = PullerConfig {
            insecure: vec![proxy.clone()],
            patience: patience(),
            ..PullerConfig::default()
        };
        config.patience.attempts = 1;
        let through_proxy: ImageReference = format!("{proxy}/app:1").parse().unwrap();
        let error = Puller::new(store.clone(), config)
            .unwrap()
            .pull(&through_proxy, &quiet)
            .await
            .unwrap_err();
        assert!(
            matches!(error, ImageError::BrokenOff { at, .. } if at > 0),
            "{error}"
        );
        let partial = store.folder().join("partial").join(layer.digest.hex());
        let here = std::fs::metadata(&partial).unwrap().len();
        if damage {
            let mut bytes = std::fs::read(&partial).unwrap();
            bytes[100] ^= 1;
            std::fs::write(&partial, bytes).unwrap();
        }
        let folder = store.folder().to_owned();
        drop(store);
        let store = opened_again(&folder).await;
        let lowest = Mutex::new(u64::MAX);
        let image = puller(&store, &registry.address)
            .pull(&reference, &|event| {
                if let PullEvent::Layer { digest, done, .. } = event
                    && digest == layer.digest
                {
                    let mut lowest = lowest.lock().unwrap();
                    *lowest = done.min(*lowest);
                }
            })
            .await
            .unwrap();
        assert_eq!(image.layers, whole.layers);
        assert_eq!(*lowest.lock().unwrap() < here, reloads);
    }
}

/// Opens a store whose last owner is going: a thread that was writing a layer may outlive its pull by a moment, and
/// holds the store until it has written.
async fn opened_again(folder: &std::path::Path) -> edged_image::ContentStore {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match edged_image::ContentStore::open(folder) {
            Err(ImageError::StoreInUse(_)) if std::time::Instant::now() < until => {
                tokio::task::yield_now().await;
            }
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn two_pulls_of_one_image_fetch_it_once() {
    let parts = Parts::new();
    let server = Server::site(parts.site()).await;
    let (_folder, store) = store();
    let puller = puller(&store, &server.address.to_string());
    let reference = server.reference("app:1");
    let (one, other) = tokio::join!(
        puller.pull(&reference, &quiet),
        puller.pull(&reference, &quiet)
    );
    assert_eq!(one.unwrap(), other.unwrap());
    let seen = server.seen.lock().unwrap();
    assert_eq!(
        seen.iter()
            .filter(|request| request.path.contains("/blobs/"))
            .count(),
        3
    );
}
