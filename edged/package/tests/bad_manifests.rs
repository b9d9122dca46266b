//! TOSCA.meta and manifests that are signed and wrong: refused, with file and line.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests"
)]

mod support;

use edged_package::PackageError;
use support::draft::{Draft, hex, sign};
use support::zip::zip;
use support::{MANIFEST, META, YAML, identity, open, trust};

fn refused(draft: &Draft) -> PackageError {
    let identity = identity("Example Works");
    match open(&draft.pack(&identity), &trust(&identity)) {
        Ok(_) => panic!("taken:\n{}\n{}", draft.manifest(), draft.yaml),
        Err(error) => error,
    }
}

#[track_caller]
fn blames(draft: &Draft, file: &str, field: &str, reason: &str) {
    let error = refused(draft);
    assert_eq!(
        (error.file(), error.field()),
        (file, Some(field)),
        "{error}"
    );
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_good_draft_is_good() {
    let identity = identity("Example Works");
    open(&Draft::good().pack(&identity), &trust(&identity)).unwrap();
}

#[test]
fn tosca_meta_names_what_it_has_to() {
    let good = Draft::good;
    blames(
        &good().meta("Entry-Definitions: application.yaml\n", ""),
        META,
        "Entry-Definitions",
        "missing",
    );
    blames(
        &good().meta("ETSI-Entry-Manifest: application.mf\n", ""),
        META,
        "ETSI-Entry-Manifest",
        "missing",
    );
    blames(
        &good().meta("CSAR-Version: 1.1", "CSAR-Version: 2.0"),
        META,
        "CSAR-Version",
        "2.0",
    );
    blames(
        &good().meta("Created-By: me", "CSAR-Version: 1.1"),
        META,
        "CSAR-Version",
        "twice",
    );
    blames(
        &good().meta("Created-By: me", "nonsense"),
        META,
        "nonsense",
        "NAME: VALUE",
    );
    let error = refused(&good().meta("application.yaml", "other.yaml"));
    assert_eq!(error.file(), "other.yaml", "{error}");
    let error = refused(&good().meta(
        "Created-By: me",
        "Created-By: me\nETSI-Entry-Licenses: LICENCES",
    ));
    assert_eq!(error.file(), "LICENCES", "{error}");
}

#[test]
fn the_manifest_has_each_name_once_and_groups_that_are_whole() {
    let good = Draft::good;
    blames(
        &good().metadata("metadata:\n", ""),
        MANIFEST,
        "metadata",
        "begins with",
    );
    for name in [
        "vnfd_id",
        "vnf_provider_id",
        "vnf_release_date_time",
        "mec_versions",
    ] {
        let line = good()
            .metadata
            .lines()
            .find(|line| line.contains(name))
            .unwrap()
            .to_owned()
            + "\n";
        blames(&good().metadata(&line, ""), MANIFEST, name, "missing");
        blames(
            &good().metadata(&line, &line.repeat(2)),
            MANIFEST,
            name,
            "twice",
        );
    }
    blames(
        &good().metadata("2026-01-31T12:00:00Z", "yesterday"),
        MANIFEST,
        "vnf_release_date_time",
        "RFC 3339",
    );
    blames(
        &good().metadata("  vnfd_id", "  vnfd_name: x\n  vnfd_id"),
        MANIFEST,
        "vnfd_name",
        "not one of MEC 037",
    );
    blames(
        &good().tail("Source: x\nAlgorithm: MD5\nHash: 00\n"),
        MANIFEST,
        "Algorithm of x",
        "MD5",
    );
    blames(
        &good().tail("Source: x\nAlgorithm: SHA-1\nHash: 00\n"),
        MANIFEST,
        "Algorithm of x",
        "SHA-1",
    );
    blames(
        &good().tail("Source: x\nAlgorithm: SHA-256\nHash: 00\n"),
        MANIFEST,
        "Hash of x",
        "64 hexadecimal",
    );
    blames(
        &good().tail("Source: x\nHash: 00\n"),
        MANIFEST,
        "Algorithm of x",
        "missing",
    );
    let group = format!(
        "Source: {YAML}\nAlgorithm: SHA-256\nHash: {}\n",
        "0".repeat(64)
    );
    blames(
        &good().tail(&group),
        MANIFEST,
        &format!("Source of {YAML}"),
        "twice",
    );
    blames(
        &good().tail("Signature: x\n"),
        MANIFEST,
        "line 22",
        "groups",
    );
    let outside = format!(
        "Source: https://example.org/x\nAlgorithm: SHA-256\nHash: {}\n",
        "0".repeat(64)
    );
    blames(
        &good().tail(&outside),
        MANIFEST,
        "Source of https://example.org/x",
        "outside",
    );
    let error = refused(&good().tail(&format!(
        "Source: absent\nAlgorithm: SHA-256\nHash: {}\n",
        "0".repeat(64)
    )));
    assert_eq!(error.file(), "absent", "{error}");
}

#[test]
fn other_digests_of_the_family_are_taken() {
    let identity = identity("Example Works");
    let draft = Draft::good();
    for (name, algorithm) in [
        ("SHA-384", &ring::digest::SHA384),
        ("SHA-512", &ring::digest::SHA512),
    ] {
        let old = format!(
            "SHA-256\nHash: {}",
            hex(&ring::digest::SHA256, &draft.image)
        );
        let new = format!("{name}\nHash: {}", hex(algorithm, &draft.image));
        let manifest = draft.manifest().replace(&old, &new);
        let entries = draft.entries(&sign(&manifest, &identity));
        let package = open(&zip(&entries), &trust(&identity)).unwrap();
        assert_eq!(
            package.image_digest().unwrap().hex,
            hex(algorithm, &draft.image)
        );
    }
}

#[test]
fn the_manifest_says_what_the_descriptor_says() {
    for (from, to, field) in [
        ("vnfd_id: sensor-page-1.0.0", "vnfd_id: other", "vnfd_id"),
        ("Example Works", "Another", "vnf_provider_id"),
        (
            "vnf_product_name: sensor-page",
            "vnf_product_name: page",
            "vnf_product_name",
        ),
        (
            "vnf_software_version: 1.0.0",
            "vnf_software_version: 1.0.1",
            "vnf_software_version",
        ),
        (
            "vnf_package_version: 1.0.0",
            "vnf_package_version: 2",
            "vnf_package_version",
        ),
        (
            "mec_versions: 3.1.1",
            "mec_versions: 3.1.1,2.1.1",
            "mec_versions",
        ),
        (
            "  mec_versions",
            "  vnfm_info: etsivnfm:v9.9.9\n  mec_versions",
            "vnfm_info",
        ),
    ] {
        blames(&Draft::good().metadata(from, to), MANIFEST, field, YAML);
    }
}
