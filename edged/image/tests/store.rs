//! The store by itself: what it keeps, what it forgets, and what a crash leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use edged_image::{ContentStore, ImageError, PullEvent};
use fixture::*;

fn quiet(_: PullEvent) {}

/// A store with the image of [`Parts::new`] under `app:1` of a registry that is gone.
async fn filled() -> (tempfile::TempDir, ContentStore, edged_image::Image) {
    let server = Server::site(Parts::new().site()).await;
    let (folder, store) = store();
    let puller = puller(&store, &server.address.to_string());
    let image = puller
        .pull(&server.reference("app:1"), &quiet)
        .await
        .unwrap();
    (folder, store, image)
}

#[tokio::test]
async fn an_index_survives_and_a_removal_too() {
    let (_folder, store, image) = filled().await;
    let folder = store.folder().to_owned();
    drop(store);
    let store = ContentStore::open(&folder).unwrap();
    assert_eq!(store.image(&image.reference).await.unwrap(), image);
    assert!(store.remove(&image.reference).await.unwrap());
    assert!(!store.remove(&image.reference).await.unwrap());
    drop(store);
    let store = ContentStore::open(&folder).unwrap();
    assert!(matches!(
        store.image(&image.reference).await.unwrap_err(),
        ImageError::NotStored(_)
    ));
}

#[tokio::test]
async fn a_half_written_index_beside_the_old_one_changes_nothing() {
    let (_folder, store, image) = filled().await;
    let folder = store.folder().to_owned();
    drop(store);
    // What a crash leaves between the write and the rename.
    std::fs::write(folder.join("index.json.next"), b"{\"schemaVer").unwrap();
    std::fs::write(folder.join("partial/spool-0"), b"half a blob").unwrap();
    std::fs::write(folder.join("partial/trash-00"), b"a doomed blob").unwrap();
    let store = ContentStore::open(&folder).unwrap();
    assert_eq!(store.images().await.unwrap(), std::slice::from_ref(&image));
    assert_eq!(
        std::fs::read_dir(folder.join("partial")).unwrap().count(),
        0
    );
    assert!(
        store.remove(&image.reference).await.unwrap(),
        "the next change is written over it"
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_written_did_not_happen() {
    let (_folder, store, image) = filled().await;
    // The file that is written before the rename cannot be made: as on a full or broken disk, for root as well.
    std::fs::create_dir(store.folder().join("index.json.next")).unwrap();
    assert!(matches!(
        store.remove(&image.reference).await.unwrap_err(),
        ImageError::File { .. }
    ));
    assert_eq!(store.image(&image.reference).await.unwrap(), image);
    std::fs::remove_dir(store.folder().join("index.json.next")).unwrap();
    assert!(store.remove(&image.reference).await.unwrap());
}

#[tokio::test]
async fn a_strange_index_is_not_overwritten() {
    let (_folder, store, _) = filled().await;
    let folder = store.folder().to_owned();
    drop(store);
    for strange in [
        "",
        "{}",
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:1","size":1}]}"#,
    ] {
        std::fs::write(folder.join("index.json"), strange).unwrap();
        assert!(
            matches!(
                ContentStore::open(&folder).unwrap_err(),
                ImageError::IndexCorrupt { .. }
            ),
            "{strange:?}"
        );
        assert_eq!(
            std::fs::read_to_string(folder.join("index.json")).unwrap(),
            strange
        );
    }
}

#[tokio::test]
async fn one_process_at_a_time() {
    let (_folder, store) = store();
    assert!(matches!(
        ContentStore::open(store.folder()).unwrap_err(),
        ImageError::StoreInUse(_)
    ));
    let folder = store.folder().to_owned();
    drop(store);
    ContentStore::open(&folder).unwrap();
}

#[tokio::test]
async fn others_may_read_and_not_write() {
    let (_folder, store, image) = filled().await;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for part in ["", "blobs", "blobs/sha256", "partial"] {
        assert_eq!(mode(&store.folder().join(part)), 0o755, "{part}");
    }
    assert_eq!(mode(&store.blob_path(&image.layers[0].digest)), 0o644);
    assert_eq!(mode(&store.folder().join("index.json")), 0o644);
}

#[tokio::test]
async fn the_collector_takes_only_what_nothing_reaches() {
    let (_folder, store, image) = filled().await;
    let all = blobs(&store);
    store.gc(&[]).await.unwrap();
    assert_eq!(blobs(&store), all, "an image of the index lost a blob");

    store.remove(&image.reference).await.unwrap();
    store
        .gc(std::slice::from_ref(&image.manifest))
        .await
        .unwrap();
    assert_eq!(blobs(&store), all, "an instance lost a blob");
    assert_eq!(
        store
            .image_at(&image.reference, &image.manifest)
            .await
            .unwrap(),
        image
    );

    let pin = store.pin(&image.layers[0].digest);
    let again = store.pin(&image.layers[0].digest);
    drop(again);
    store.gc(&[]).await.unwrap();
    assert_eq!(
        blobs(&store),
        [image.layers[0].digest.hex()],
        "a pinned blob went, or another stayed"
    );
    drop(pin);
    let collected = store.gc(&[]).await.unwrap();
    assert_eq!(
        (collected.files, collected.bytes),
        (1, image.layers[0].size)
    );
    assert_eq!(blobs(&store), Vec::<String>::new());
}

#[tokio::test]
async fn a_layer_of_two_images_stays_for_the_second() {
    let (_folder, store, image) = filled().await;
    let mut other = Parts::new();
    other.layers.truncate(1);
    other.config["rootfs"]["diff_ids"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    other.describe();
    let server = Server::site(other.site()).await;
    let second = puller(&store, &server.address.to_string())
        .pull(&server.reference("b:1"), &quiet)
        .await
        .unwrap();
    let asked: Vec<_> = server
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.path.clone())
        .collect();
    assert!(
        !asked
            .iter()
            .any(|path| path.contains(image.layers[0].digest.hex())),
        "a shared layer was fetched again"
    );
    store.remove(&image.reference).await.unwrap();
    store.gc(&[]).await.unwrap();
    assert_eq!(store.image(&second.reference).await.unwrap(), second);
    assert_eq!(blobs(&store).len(), 3);
}

#[tokio::test]
async fn a_collection_amid_a_pull_takes_nothing_of_it() {
    let parts = Parts::new();
    let server = Server::site(parts.site()).await;
    let (_folder, store) = store();
    let (collect, collected) = tokio::sync::mpsc::unbounded_channel();
    let mut collected = collected;
    let collector = {
        let store = store.clone();
        tokio::spawn(async move {
            while collected.recv().await.is_some() {
                store.gc(&[]).await.unwrap();
            }
        })
    };
    let reference = server.reference("app:1");
    let puller = puller(&store, &server.address.to_string());
    // A collection begins at each step of each pull.
    for _ in 0..20 {
        let image = puller
            .pull(&reference, &|_| collect.send(()).unwrap())
            .await
            .unwrap();
        assert_eq!(store.image(&reference).await.unwrap(), image);
        store.remove(&reference).await.unwrap();
    }
    drop(collect);
    collector.await.unwrap();
}

#[tokio::test]
async fn a_broken_off_download_waits_a_day() {
    let (_folder, store) = store();
    let partial = |byte: u8| store.folder().join("partial").join(digest(&[byte]).hex());
    for byte in [1, 2, 3] {
        std::fs::write(partial(byte), b"half").unwrap();
    }
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for byte in [1, 2] {
        std::fs::File::options()
            .write(true)
            .open(partial(byte))
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    let pin = store.pin(&digest(&[2]));
    assert_eq!(store.gc(&[]).await.unwrap().files, 1);
    assert_eq!(
        [1, 2, 3].map(|byte| partial(byte).exists()),
        [false, true, true]
    );
    drop(pin);
}

#[tokio::test]
async fn a_missing_or_damaged_blob_is_named_and_comes_back_by_a_pull() {
    let (_folder, store, image) = filled().await;
    let layer = store.blob_path(&image.layers[1].digest);
    std::fs::remove_file(&layer).unwrap();
    let error = store.image(&image.reference).await.unwrap_err();
    assert!(
        matches!(&error, ImageError::BlobMissing { digest, .. } if *digest == image.layers[1].digest),
        "{error}"
    );
    // Of the same length, so that only its hash tells.
    let damaged = std::fs::read_to_string(store.blob_path(&image.config))
        .unwrap()
        .replace("true", "evil");
    std::fs::write(store.blob_path(&image.config), damaged).unwrap();
    assert!(
        store
            .image(&image.reference)
            .await
            .unwrap_err()
            .refusal()
            .is_some()
    );
    assert_eq!(
        store.images().await.unwrap(),
        [],
        "a broken image is left out of the list"
    );
    let server = Server::site(Parts::new().site()).await;
    let events = Mutex::new(0);
    let puller = puller(&store, &server.address.to_string());
    let again = puller
        .pull(&server.reference("app:1"), &|_| {
            *events.lock().unwrap() += 1;
        })
        .await
        .unwrap();
    assert_eq!(again.layers, image.layers);
    assert_eq!(store.image(&image.reference).await.unwrap(), image);
    let layer = &image.layers[0].digest;
    assert!(!store.discard_damaged(layer).await.unwrap(), "it is whole");
    assert_eq!(store.image(&image.reference).await.unwrap(), image);
    let path = store.blob_path(layer);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, bytes).unwrap();
    assert!(store.discard_damaged(layer).await.unwrap());
    assert!(matches!(
        store.image(&image.reference).await.unwrap_err(),
        ImageError::BlobMissing { .. }
    ));
}

/// A small disk, gone with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "edged-test",
                folder.path().to_str().unwrap(),
            ],
        );
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_more_space_is_all_it_takes() {
    let mut parts = Parts::new();
    parts.layers[1] = noise(3_000_000);
    parts.config["rootfs"]["diff_ids"][1] = digest(&parts.layers[1]).as_str().into();
    parts.describe();
    let server = Server::site(parts.site()).await;
    let disk = Disk::of("1m");
    let store = ContentStore::open(&disk.0.path().join("images")).unwrap();
    let puller = puller(&store, &server.address.to_string());
    let reference = server.reference("app:1");
    let error = puller.pull(&reference, &quiet).await.unwrap_err();
    assert!(matches!(error, ImageError::Full(_)), "{error}");
    let left = std::fs::read_dir(store.folder().join("partial"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "half a layer sits on the last free bytes");
    run(
        "mount",
        &["-o", "remount,size=8m", disk.0.path().to_str().unwrap()],
    );
    puller.pull(&reference, &quiet).await.unwrap();
    drop((puller, store));
}

#[tokio::test]
async fn on_a_full_disk_an_image_is_removed_and_makes_room() {
    let mut parts = Parts::new();
    parts.layers[1] = noise(3_000_000);
    parts.config["rootfs"]["diff_ids"][1] = digest(&parts.layers[1]).as_str().into();
    parts.describe();
    let server = Server::site(parts.site()).await;
    let disk = Disk::of("8m");
    let folder = disk.0.path().join("images");
    let store = ContentStore::open(&folder).unwrap();
    let puller = puller(&store, &server.address.to_string());
    let (first, second) = (server.reference("app:1"), server.reference("other:1"));
    for reference in [&first, &second] {
        puller.pull(reference, &quiet).await.unwrap();
    }
    let full = std::fs::File::create(disk.0.path().join("others")).unwrap();
    let mut full = std::io::BufWriter::with_capacity(512, full);
    let error = std::io::copy(&mut std::io::repeat(1), &mut full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    // The first frees nothing: the other has the same content.
    for reference in [&first, &second] {
        assert!(store.remove(reference).await.unwrap());
    }
    store.gc(&[]).await.unwrap();
    let left = std::fs::read_dir(folder.join("blobs/sha256")).unwrap();
    assert_eq!(left.count(), 0, "its content is still there");
    drop((puller, store));
    let store = ContentStore::open(&folder).unwrap();
    assert_eq!(store.images().await.unwrap(), []);
}
