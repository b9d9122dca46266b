//! ZIP files that are damaged, hostile or of a kind not taken: refused, with the entry to blame.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]

mod support;

use edged_package::{Limits, Package, PackageError};
use support::draft::Draft;
use support::zip::{Entry, deflated, stored, streamed, zip};
use support::{IMAGE, MANIFEST, META, YAML, file, identity, now, open, trust};

/// What a spoilt package is answered with.
fn refused(spoil: impl FnOnce(&mut Vec<Entry>)) -> PackageError {
    let identity = identity("Example Works");
    let mut entries = Draft::good().signed_entries(&identity);
    spoil(&mut entries);
    open(&zip(&entries), &trust(&identity))
        .map(|_| ())
        .unwrap_err()
}

#[track_caller]
fn blames(error: &PackageError, file: &str, reason: &str) {
    assert_eq!(error.file(), file, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

fn entry<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.name == name).unwrap()
}

#[test]
fn a_good_package_is_taken_stored_deflated_and_streamed() {
    let identity = identity("Example Works");
    for make in [stored, deflated, streamed] {
        let draft = Draft::good();
        let entries: Vec<Entry> = draft
            .signed_entries(&identity)
            .iter()
            .map(|entry| make(&entry.name, &entry.packed))
            .collect();
        open(&zip(&entries), &trust(&identity)).unwrap();
    }
}

#[test]
fn a_folder_of_its_own_is_no_file() {
    let identity = identity("Example Works");
    let mut entries = Draft::good().signed_entries(&identity);
    entries.push(Entry {
        attributes: 0o040_755 << 16,
        ..stored("Artifacts/", b"")
    });
    open(&zip(&entries), &trust(&identity)).unwrap();
}

#[test]
fn a_name_that_leaves_the_package_is_refused() {
    for name in [
        "../evil",
        "/etc/passwd",
        "a/../../evil",
        "a\\..\\evil",
        "C:evil",
        "a//b",
        "./a",
        "b\u{e4}r",
    ] {
        let error = refused(|entries| entries.push(stored(name, b"x")));
        blames(&error, &name.escape_debug().to_string(), "not safe");
    }
}

#[test]
fn a_name_that_is_there_twice_is_refused_whatever_its_case() {
    blames(
        &refused(|entries| entries.push(stored(YAML, b"x"))),
        YAML,
        "twice",
    );
    let other = "Application.YAML";
    blames(
        &refused(|entries| entries.push(stored(other, b"x"))),
        other,
        "twice",
    );
    let below = "application.yaml/x";
    blames(
        &refused(|entries| entries.push(stored(below, b"x"))),
        below,
        "is a file and not a folder",
    );
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [0o120_777, 0o020_666, 0o010_644, 0o140_755, 0o040_755] {
        let error = refused(|entries| entry(entries, YAML).attributes = kind << 16);
        blames(&error, YAML, "link or a device");
    }
}

#[test]
fn encrypted_entries_and_other_methods_are_refused() {
    blames(
        &refused(|entries| entry(entries, YAML).flags = 1),
        YAML,
        "encrypted",
    );
    blames(
        &refused(|entries| entry(entries, YAML).flags = 1 << 13),
        YAML,
        "encrypted",
    );
    blames(
        &refused(|entries| entry(entries, YAML).flags = 1 << 5),
        YAML,
        "feature",
    );
    for method in [1, 9, 12, 14, 93, 99] {
        blames(
            &refused(|entries| entry(entries, YAML).method = method),
            YAML,
            "deflate",
        );
    }
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_unpacked() {
    let zeros = vec![0; 8 << 20];
    let error = refused(|entries| entries.push(deflated("bomb", &zeros)));
    blames(&error, "bomb", "times its packed size");
    // A bomb that lies about its size ends where the lie does.
    let error = refused(|entries| {
        *entry(entries, IMAGE) = Entry {
            size: 50_000,
            ..deflated(IMAGE, &zeros)
        }
    });
    blames(&error, IMAGE, "larger than its listed size");
}

#[test]
fn bytes_files_and_entries_have_bounds() {
    let identity = identity("Example Works");
    let bytes = Draft::good().pack(&identity);
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Package::open(file(&bytes), &trust(&identity), &limits, now())
            .map(|_| ())
            .unwrap_err()
    };
    blames(&with(|limits| limits.package = 1_000), "package", "bytes");
    blames(&with(|limits| limits.entries = 3), "package", "entries");
    blames(
        &with(|limits| limits.file = 1_000),
        MANIFEST,
        "bytes when unpacked",
    );
    blames(
        &with(|limits| limits.total = 300_000),
        "package",
        "bytes when unpacked",
    );
    blames(&with(|limits| limits.text = 200), MANIFEST, "bytes");
    let error = refused(|entries| entries.extend((0..300).map(|n| stored(&format!("f{n}"), b""))));
    blames(&error, "package", "304 entries");
}

#[test]
fn a_package_that_is_cut_short_is_refused_wherever_it_was_cut() {
    let identity = identity("Example Works");
    let bytes = Draft::good().pack(&identity);
    let points = [
        0,
        1,
        4,
        21,
        22,
        100,
        1_000,
        bytes.len() / 2,
        bytes.len() - 300,
        bytes.len() - 22,
        bytes.len() - 1,
    ];
    for point in points {
        let error = open(&bytes[..point], &trust(&identity))
            .map(|_| ())
            .unwrap_err();
        blames(&error, "package", "cut short");
    }
    // The middle is missing and the end is there.
    let mut holed = bytes[..1_000].to_vec();
    holed.extend(&bytes[200_000..]);
    assert!(open(&holed, &trust(&identity)).is_err());
}

#[test]
fn what_is_no_zip_is_said_to_be_none() {
    let identity = identity("Example Works");
    for bytes in [&b""[..], b"hello", &[0x1f; 4_000]] {
        let error = open(bytes, &trust(&identity)).map(|_| ()).unwrap_err();
        blames(&error, "package", "no ZIP");
    }
}

#[test]
fn bytes_between_entries_and_headers_that_disagree_are_refused() {
    blames(
        &refused(|entries| entries[0].before = b"#!/bin/sh\n".to_vec()),
        "package",
        "before the first entry",
    );
    blames(
        &refused(|entries| entries[1].after = b"hidden".to_vec()),
        MANIFEST,
        "hide behind it",
    );
    blames(
        &refused(|entries| entry(entries, YAML).local_name = "other.yaml".to_owned()),
        YAML,
        "disagree",
    );
    blames(
        &refused(|entries| entry(entries, YAML).crc ^= 1),
        YAML,
        "CRC-32",
    );
    blames(
        &refused(|entries| {
            let image = entry(entries, IMAGE);
            let mut packed = deflated(IMAGE, &image.packed);
            packed.packed.extend(b"more");
            *image = packed;
        }),
        IMAGE,
        "behind its compressed data",
    );
    blames(
        &refused(|entries| {
            let image = entry(entries, IMAGE);
            *image = deflated(IMAGE, &image.packed);
            image.packed[1_000] ^= 0xff;
        }),
        IMAGE,
        "",
    );
}

#[test]
fn files_and_digests_fit_each_other() {
    let error = refused(|entries| entries.push(stored("extra.txt", b"x")));
    assert!(matches!(error, PackageError::Unlisted { .. }), "{error}");
    blames(&error, "extra.txt", MANIFEST);
    let error = refused(|entries| entries.retain(|entry| entry.name != IMAGE));
    assert!(matches!(error, PackageError::Missing { .. }), "{error}");
    blames(&error, IMAGE, MANIFEST);
    let error = refused(|entries| *entry(entries, IMAGE) = stored(IMAGE, b"another image"));
    assert!(matches!(error, PackageError::Digest { .. }), "{error}");
    blames(&error, IMAGE, "SHA-256");
    let error = refused(|entries| {
        *entry(entries, META) = stored(META, &[Draft::good().meta.as_bytes(), b"\n"].concat());
    });
    blames(&error, META, "SHA-256");
}

#[test]
fn what_leads_to_everything_else_has_to_be_there() {
    for (name, needed_by) in [(META, "every package"), (MANIFEST, META), (YAML, MANIFEST)] {
        let error = refused(|entries| entries.retain(|entry| entry.name != name));
        assert!(matches!(error, PackageError::Missing { .. }), "{error}");
        blames(&error, name, needed_by);
    }
}
