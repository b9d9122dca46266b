//! Loading archives: those of skopeo, and hostile ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may fail loudly"
)]
#![allow(clippy::too_many_lines, reason = "a table of cases is one thing")]

mod fixture;

use edged_image::{ContentStore, Image, ImageError, LayerMediaType, Refusal, load, load_folder};
use fixture::*;
use serde_json::json;
use tempfile::TempDir;

async fn load_file(
    store: &ContentStore,
    path: &str,
    name: Option<&str>,
) -> Result<Vec<Image>, ImageError> {
    let name = name.map(|name| name.parse().unwrap());
    load(
        store,
        tokio::fs::File::open(path).await.unwrap(),
        name.as_ref(),
    )
    .await
}

fn names(images: &[Image]) -> Vec<String> {
    images
        .iter()
        .map(|image| image.reference.to_string())
        .collect()
}

#[tokio::test]
async fn archives_of_skopeo_load_plain_and_packed() {
    let folder = TempDir::new().unwrap();
    let layout = umoci_image(folder.path(), "t", 300_000);
    let from = format!("oci:{}:t", layout.display());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    skopeo_copy(
        &[],
        &from,
        &format!("docker-archive:{}:app:1", at("docker.tar")),
    );
    skopeo_copy(
        &[],
        &from,
        &format!("oci-archive:{}:r.example/app:2", at("oci.tar")),
    );
    run("gzip", &["-k", &at("docker.tar")]);
    run("zstd", &["-q", &at("oci.tar")]);
    for (archive, name, packed) in [
        ("docker.tar", "docker.io/library/app:1", LayerMediaType::Tar),
        (
            "docker.tar.gz",
            "docker.io/library/app:1",
            LayerMediaType::Tar,
        ),
        ("oci.tar", "r.example/app:2", LayerMediaType::TarGzip),
        ("oci.tar.zst", "r.example/app:2", LayerMediaType::TarGzip),
    ] {
        let (_store_folder, store) = store();
        let images = load_file(&store, &at(archive), None).await.unwrap();
        assert_eq!(names(&images), [name], "{archive}");
        let image = &images[0];
        assert_eq!(image.layers.len(), 2);
        assert_eq!(image.process.exposed_ports.len(), 2);
        for layer in &image.layers {
            assert_eq!(layer.media_type, packed, "{archive}");
            // A plain layer is its own uncompressed content.
            assert_eq!(layer.digest == layer.diff_id, packed == LayerMediaType::Tar);
        }
        assert_eq!(store.image(&image.reference).await.unwrap(), *image);
        store.gc(&[]).await.unwrap();
        assert_eq!(blobs(&store).len(), 4, "{archive}");
    }
}

#[tokio::test]
async fn a_layout_in_a_folder_loads_under_the_name_it_is_given() {
    let folder = TempDir::new().unwrap();
    let layout = umoci_image(folder.path(), "t", 1000);
    let (_store_folder, store) = store();
    let nameless = load_folder(&store, &layout, None).await.unwrap_err();
    assert!(
        matches!(nameless.refusal(), Some(Refusal::Nameless(_))),
        "{nameless}"
    );
    let name = "site/app:9".parse().unwrap();
    let images = load_folder(&store, &layout, Some(&name)).await.unwrap();
    assert_eq!(names(&images), ["docker.io/site/app:9"]);
    let missing = load_folder(&store, folder.path(), None).await.unwrap_err();
    assert!(matches!(missing, ImageError::File { .. }), "{missing}");
}

/// A new `docker save`: a layout and a manifest.json, one layer shared through a link as older versions write it.
#[tokio::test]
async fn layers_by_link_and_names_by_docker_are_found() {
    let parts = Parts::new();
    let config = parts.config.to_string();
    let (hex, first, second) = ("c".repeat(64), "a".repeat(64), "b".repeat(64));
    let manifest = json!([{"Config": format!("{hex}.json"), "RepoTags": ["x/app:1", "x/app:2"],
        "Layers": [format!("{first}/layer.tar"), format!("{second}/layer.tar")]}]);
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    };
    add("manifest.json", manifest.to_string().as_bytes());
    add(&format!("{hex}.json"), config.as_bytes());
    add(&format!("{first}/layer.tar"), &parts.layers[0]);
    add(&format!("{}.tar", "d".repeat(64)), &parts.layers[1]);
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    archive
        .append_link(
            &mut link,
            format!("{second}/layer.tar"),
            format!("../{}.tar", "d".repeat(64)),
        )
        .unwrap();
    let bytes = archive.into_inner().unwrap();
    let (_folder, store) = store();
    let images = load(&store, &bytes[..], None).await.unwrap();
    assert_eq!(names(&images), ["docker.io/x/app:1", "docker.io/x/app:2"]);
    assert_eq!(images[0].manifest, images[1].manifest);
    assert_eq!(images[0].layers[1].digest, digest(&parts.layers[1]));
}

/// An OCI layout in a tar, its files replaceable.
fn layout(parts: &Parts) -> Vec<(String, Vec<u8>)> {
    let manifest = parts.manifest.to_string().into_bytes();
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": digest(&manifest).as_str(),
        "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "x/app:1"}}]});
    let blobs = parts
        .layers
        .iter()
        .cloned()
        .chain([parts.config.to_string().into_bytes(), manifest]);
    let mut files: Vec<_> = blobs
        .map(|it| (format!("blobs/sha256/{}", digest(&it).hex()), it))
        .collect();
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar_of(
        &files
            .iter()
            .map(|(name, content)| (name.as_str(), &content[..]))
            .collect::<Vec<_>>(),
    )
}

/// What it is, its bytes, and what it must be refused for.
type Case = (&'static str, Vec<u8>, fn(&Refusal) -> bool);

#[tokio::test]
async fn hostile_archives_are_refused_and_write_nothing_outside() {
    let honest = layout(&Parts::new());
    let with = |name: &str, content: &[u8]| {
        let mut files = honest.clone();
        files.push((name.to_owned(), content.to_vec()));
        packed(&files)
    };
    let mut swapped = honest.clone();
    swapped[0].1[0] ^= 1;
    let mut lying = honest.clone();
    lying[4].1 = String::from_utf8(lying[4].1.clone())
        .unwrap()
        .replace("\"size\":", "\"size\":1")
        .into_bytes();
    let mut misnamed = honest.clone();
    misnamed[4].1 = String::from_utf8(misnamed[4].1.clone())
        .unwrap()
        .replace("x/app:1", "x/APP:1")
        .into_bytes();
    let named = |name: &str| {
        let mut files = honest.clone();
        let index = String::from_utf8(files[4].1.clone()).unwrap();
        files[4].1 = index.replace("x/app:1", name).into_bytes();
        packed(&files)
    };
    let listed = |times: usize| {
        let mut files = honest.clone();
        let mut index: serde_json::Value = serde_json::from_slice(&files[4].1).unwrap();
        let manifests = index["manifests"].as_array_mut().unwrap();
        let entry = manifests[0].clone();
        manifests.extend((1..times).map(|number| {
            let mut entry = entry.clone();
            entry["annotations"]["org.opencontainers.image.ref.name"] =
                format!("x/app:{}", number + 1).into();
            entry
        }));
        files[4].1 = index.to_string().into_bytes();
        packed(&files)
    };
    let whole = packed(&honest);
    let many: Vec<(String, Vec<u8>)> = (0..=32 * 1024)
        .map(|number| (format!("f{number}"), Vec::new()))
        .collect();
    let saved = |config: &str| {
        packed(&[(
            "manifest.json".to_owned(),
            json!([{"Config": config, "Layers": ["../../x"]}])
                .to_string()
                .into_bytes(),
        )])
    };
    let cases: Vec<Case> = vec![
        ("a name that climbs", with("../../escaped", b"x"), |it| {
            matches!(it, Refusal::EntryPath(_))
        }),
        ("a name from the root", with("/tmp/escaped", b"x"), |it| {
            matches!(it, Refusal::EntryPath(_))
        }),
        ("a blob of another digest", packed(&swapped), |it| {
            matches!(it, Refusal::WrongDigest { .. })
        }),
        ("a wrong size", packed(&lying), |it| {
            matches!(it, Refusal::WrongSize { .. })
        }),
        ("a name that is no reference", packed(&misnamed), |it| {
            matches!(it, Refusal::Name(_))
        }),
        (
            "the digest of another image",
            named(&format!("x/app@{}", digest(b"another"))),
            |it| matches!(it, Refusal::WrongDigest { .. }),
        ),
        (
            "the name of an image inside a package",
            named("Package.MEC.internal:443/x:1"),
            |it| *it == Refusal::OfPackages,
        ),
        ("an index without an end", listed(1025), |it| {
            matches!(it, Refusal::IndexTooLong { count: 1025, .. })
        }),
        ("more names than a box needs", listed(33), |it| {
            *it == Refusal::TooManyImages(32)
        }),
        ("a missing layer", packed(&honest[1..]), |it| {
            matches!(it, Refusal::ArchiveLacks(_))
        }),
        (
            "a configuration elsewhere",
            saved("../../etc/passwd"),
            |it| matches!(it, Refusal::ArchiveLacks(_)),
        ),
        ("no index", packed(&honest[..4]), |it| {
            *it == Refusal::NoArchiveIndex
        }),
        (
            "an index above the limit",
            with("index.json", &vec![b' '; 5 << 20]),
            |it| matches!(it, Refusal::DocumentTooLarge { .. }),
        ),
        ("too many entries", packed(&many), |it| {
            matches!(it, Refusal::TooManyEntries(_))
        }),
        ("a tar cut short", whole[..2000].to_vec(), |it| {
            matches!(it, Refusal::Archive(_))
        }),
        (
            "a gzip cut short",
            {
                let mut it = gzip(&whole);
                it.truncate(2000);
                it
            },
            |it| matches!(it, Refusal::Archive(_)),
        ),
        ("no archive at all", noise(5000), |it| {
            matches!(it, Refusal::Archive(_))
        }),
    ];
    let (folder, store) = store();
    for (lie, archive, expected) in cases {
        let error = load(&store, &archive[..], None).await.expect_err(lie);
        assert!(error.refusal().is_some_and(expected), "{lie}: {error}");
        assert_eq!(store.images().await.unwrap(), [], "{lie} was recorded");
        store.gc(&[]).await.unwrap();
        assert_eq!(blobs(&store), Vec::<String>::new(), "{lie} left blobs");
        assert_eq!(
            std::fs::read_dir(store.folder().join("partial"))
                .unwrap()
                .count(),
            0,
            "{lie} left parts"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(
        names(&load(&store, &whole[..], None).await.unwrap()),
        ["docker.io/x/app:1"]
    );
    let own = format!(
        "docker.io/x/app@{}",
        digest(Parts::new().manifest.to_string().as_bytes())
    );
    assert_eq!(
        names(&load(&store, &named(&own)[..], None).await.unwrap()),
        [own]
    );
}

#[tokio::test]
async fn a_source_that_fails_is_not_the_archives_fault() {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("the session closed")))
        }
    }
    let (_folder, store) = store();
    let error = load(&store, Broken, None).await.unwrap_err();
    assert!(
        matches!(error, ImageError::Input(_)) && error.to_string().contains("the session closed"),
        "{error}"
    );
}
