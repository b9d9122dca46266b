//! `kill -9` while the store changes: what it held before or what it holds after, and nothing between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use edged_image::{ContentStore, load};
use edged_model::ImageReference;
use fixture::*;

/// Names the store to the process that is killed.
const STORE: &str = "EDGED_IMAGE_CRASH_STORE";
const KILLS: usize = 25;

/// A `docker save` of one image under one name.
fn archive() -> Vec<u8> {
    let parts = Parts::new();
    let (config, one, two) = ("c".repeat(64), "a".repeat(64), "b".repeat(64));
    let manifest = serde_json::json!([{"Config": format!("{config}.json"), "RepoTags": ["x/app:1"],
        "Layers": [format!("{one}.tar"), format!("{two}.tar")]}]);
    tar_of(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        (
            &format!("{config}.json"),
            parts.config.to_string().as_bytes(),
        ),
        (&format!("{one}.tar"), &parts.layers[0]),
        (&format!("{two}.tar"), &parts.layers[1]),
    ])
}

#[tokio::test]
#[ignore = "the other process of the test below"]
async fn changes_until_it_is_killed() {
    let store = ContentStore::open(std::env::var_os(STORE).unwrap().as_ref()).unwrap();
    let (archive, name): (_, ImageReference) = (archive(), "x/app:1".parse().unwrap());
    loop {
        load(&store, &archive[..], None).await.unwrap();
        store.remove(&name).await.unwrap();
        store.gc(&[]).await.unwrap();
        // Straight to the pipe: the test harness keeps what goes through println.
        std::io::stdout().write_all(b"round\n").unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_the_old_or_the_new() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("images");
    let mut found = [0, 0];
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "changes_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(STORE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            lines
                .by_ref()
                .map_while(Result::ok)
                .find(|line| line.contains("round"))
                .expect("it changes the store");
        }
        // A different moment each time: so many more spins of this thread.
        for spin in 0..round * 40_000 {
            std::hint::black_box(spin);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = ContentStore::open(&path).unwrap();
        let images = store.images().await.unwrap();
        assert_eq!(std::fs::read_dir(path.join("partial")).unwrap().count(), 0);
        for blob in blobs(&store) {
            assert_eq!(
                digest(&std::fs::read(path.join("blobs/sha256").join(&blob)).unwrap()).hex(),
                blob
            );
        }
        let index = std::fs::read_to_string(path.join("index.json")).unwrap();
        assert_eq!(
            index.contains("x/app:1"),
            !images.is_empty(),
            "an image of the index cannot be read"
        );
        found[images.len()] += 1;
    }
    println!(
        "{} kills found no image and {} found it whole",
        found[0], found[1]
    );
}
