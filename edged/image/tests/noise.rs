//! Documents and archives damaged at random: an image or a reason, and never a crash.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use edged_image::load;
use fixture::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_archive_loads_whole_or_not_at_all(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let parts = Parts::new();
        let manifest = parts.manifest.to_string().into_bytes();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "size": manifest.len(),
            "digest": digest(&manifest).as_str(), "annotations": {"org.opencontainers.image.ref.name": "x/app:1"}}]});
        let config = parts.config.to_string().into_bytes();
        let blobs = [config, manifest, parts.layers[0].clone(), parts.layers[1].clone()];
        let mut files: Vec<(String, Vec<u8>)> =
            blobs.into_iter().map(|it| (format!("blobs/sha256/{}", digest(&it).hex()), it)).collect();
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), &content[..])).collect();
        let mut archive = tar_of(&files);
        if packed {
            archive = gzip(&archive);
        }
        for (at, bits) in damage {
            let at = at.index(archive.len());
            archive[at] ^= bits;
        }
        if cut {
            archive.truncate(length.index(archive.len()));
        }
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let (_folder, store) = store();
            let loaded = load(&store, &archive[..], None).await;
            let recorded = store.images().await.unwrap();
            assert_eq!(recorded, loaded.unwrap_or_default());
            for image in recorded {
                for layer in image.layers {
                    assert_eq!(digest(&std::fs::read(store.blob_path(&layer.digest)).unwrap()), layer.digest);
                }
            }
        });
    }
}
