//! Layers through the worker: what is refused leaves nothing, and what hides something hides it in a container.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use edged_model::Digest;
use edged_protocol::worker::{Command, LayerSource, Reply};
use support::Node;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// Puts an archive of empty files into the content store.
fn store(node: &Node, files: &[&str]) -> LayerSource {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(file).unwrap();
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let digest = Digest::from_sha256(hash.as_ref().try_into().unwrap());
    let path = node
        .path("state/edged/content/blobs/sha256")
        .join(digest.hex());
    std::fs::write(path, &bytes).unwrap();
    LayerSource {
        blob: digest.clone(),
        size: u64::try_from(bytes.len()).unwrap(),
        media_type: TAR.to_owned(),
        diff_id: digest,
    }
}

#[test]
fn a_layer_that_is_not_what_was_promised_leaves_nothing() {
    let mut node = Node::start();
    let good = store(&node, &["a"]);
    let other = Digest::from_sha256([3; 32]);
    let cases = [
        LayerSource {
            size: good.size - 1,
            ..good.clone()
        },
        LayerSource {
            diff_id: other.clone(),
            ..good.clone()
        },
        LayerSource {
            blob: other,
            ..good.clone()
        },
        LayerSource {
            media_type: "text/html".to_owned(),
            ..good.clone()
        },
        LayerSource {
            media_type: format!("{TAR}+gzip"),
            ..good.clone()
        },
        store(&node, &["a/.wh."]),
    ];
    let mut sentences = std::collections::BTreeSet::new();
    for case in cases {
        let refusal = node.refusal(Command::UnpackLayer(case));
        assert!(
            sentences.insert(refusal.sentence.clone()),
            "said twice: {refusal}"
        );
    }
    assert_eq!(
        std::fs::read_dir(node.path("state/layers"))
            .unwrap()
            .count(),
        1
    );
    assert_eq!(node.ask(Command::UnpackLayer(good.clone())), Reply::Done {});
    assert_eq!(
        node.ask(Command::UnpackLayer(good)),
        Reply::Done {},
        "again is done"
    );
}

#[test]
fn many_layers_at_once_are_all_unpacked() {
    let mut node = Node::start();
    let names: Vec<String> = (0..8).map(|number| format!("file{number}")).collect();
    let sources: Vec<LayerSource> = names.iter().map(|name| store(&node, &[name])).collect();
    for source in &sources {
        node.client().send(Command::UnpackLayer(source.clone()));
    }
    let last = sources[7].clone();
    assert_eq!(node.ask(Command::UnpackLayer(last)), Reply::Done {});
    let mut spec = node.spec("stacked", &["sh", "-c", "ls -d /file*"]);
    spec.layers
        .extend(sources.into_iter().map(|source| source.diff_id));
    node.run(spec);
    node.exited("stacked");
    assert_eq!(node.log("stacked").len(), 8);
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_lies_below() {
    let mut node = Node::start();
    let below = store(&node, &["data/old", "data/kept", "keep"]);
    let above = store(&node, &["etc/.wh.passwd", "data/.wh..wh..opq", "data/new"]);
    for source in [&below, &above] {
        assert_eq!(
            node.ask(Command::UnpackLayer(source.clone())),
            Reply::Done {}
        );
    }
    let mut spec = node.spec("hidden", &["sh", "-c", "ls /data /keep; ls -d /etc/passwd"]);
    spec.layers.extend([below.diff_id, above.diff_id]);
    node.run(spec);
    node.exited("hidden");
    let text: Vec<String> = node
        .log("hidden")
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert!(
        text.contains(&"new".to_owned()) && text.contains(&"/keep".to_owned()),
        "{text:?}"
    );
    assert!(
        !text
            .iter()
            .any(|line| line == "old" || line == "kept" || line == "/etc/passwd"),
        "{text:?}"
    );
}
