//! Sticks as operators plug them in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::fs;

#[allow(dead_code)] // Some of it is for tests that are not here.
mod made;
use made::{Machine, content, empty, exfat, fat32, forget_hint, put, run};

const BUNDLE: &str = "2.update";

#[test]
fn the_bundle_on_a_fat32_is_read_whole_whatever_its_clusters_are() {
    for (cluster, length) in [(1, 100_000), (8, 4096), (8, 4097), (2, 1)] {
        let machine = Machine::new();
        let bytes = content(length);
        let beside = ("readme.txt", content(700));
        fat32(
            &machine.stick("sda"),
            cluster,
            &[beside, (BUNDLE, bytes.clone())],
        );
        assert!(machine.read() == (BUNDLE.to_owned(), bytes), "{cluster}");
    }
}

#[test]
fn a_file_in_pieces_is_followed_from_cluster_to_cluster() {
    let machine = Machine::new();
    let path = machine.stick("sda1");
    let filler: Vec<_> = (0..60).map(|number| format!("{number}.bin")).collect();
    let files: Vec<_> = filler
        .iter()
        .map(|name| (name.as_str(), content(9000)))
        .collect();
    fat32(&path, 1, &files);
    for name in filler.iter().step_by(2) {
        let file = format!("::{name}");
        run("mdel", &["-i", path.to_str().unwrap(), &file]);
    }
    forget_hint(&path);
    let bytes = content(450_000);
    put(&path, BUNDLE, &bytes);
    assert!(machine.read().1 == bytes);
}

#[test]
fn the_bundle_on_an_exfat_is_read_whole() {
    for contiguous in [true, false] {
        let machine = Machine::new();
        let bytes = content(100_001);
        exfat(&machine.stick("sda1"), BUNDLE, &bytes, contiguous);
        assert!(machine.read() == (BUNDLE.to_owned(), bytes), "{contiguous}");
    }
}

#[test]
fn a_bundle_is_known_by_the_end_of_its_name_alone() {
    let machine = Machine::new();
    let long = "release two of the harbour, signed on a tuesday.UPDATE";
    let files = [
        // What a Mac puts beside a file.
        ("._2.update", content(10)),
        ("3.update.part", content(10)),
        ("update", content(10)),
        (long, content(20)),
    ];
    let path = machine.stick("sda");
    fat32(&path, 1, &files);
    run("mmd", &["-i", path.to_str().unwrap(), "::4.update"]);
    assert!(machine.read() == (long.to_owned(), content(20)));
}

#[test]
fn a_name_that_plays_with_a_terminal_is_shown_without_its_tricks() {
    let machine = Machine::new();
    let path = machine.stick("sda1");
    exfat(&path, "\u{1b}]2;\u{202e}x.update", &content(5), true);
    assert_eq!(
        machine.read().0,
        "?]2;?x.update".replace(['[', ']', ';'], "?")
    );
}

#[test]
fn a_deleted_bundle_is_no_bundle() {
    let machine = Machine::new();
    let path = machine.stick("sda");
    fat32(&path, 1, &[(BUNDLE, content(10))]);
    run("mdel", &["-i", path.to_str().unwrap(), "::2.update"]);
    assert!(machine.refusal().contains("no bundle in its top folder"));
}

#[test]
fn without_a_stick_or_with_too_many_bundles_the_answer_says_what_to_do() {
    let machine = Machine::new();
    // The box's own disk has everything that a stick could have, and is none.
    let own = [(BUNDLE, content(10))];
    fat32(&machine.plug("virtio/block", "vda1"), 1, &own);
    assert!(machine.refusal().contains("plug one in"));

    empty(&machine.stick("sda"), 1 << 10);
    assert!(machine.refusal().contains("format it as FAT32 or exFAT"));

    let first = machine.stick("sda1");
    fat32(&first, 1, &[("a.txt", content(10))]);
    assert!(machine.refusal().contains("ends in .update"));

    put(&first, BUNDLE, &content(10));
    assert_eq!(machine.read().0, BUNDLE);
    let second = [("3.update", content(10))];
    fat32(&machine.stick("sdb"), 1, &second);
    let refusal = machine.refusal();
    assert!(
        refusal.contains("2.update on sda1, 3.update on sdb"),
        "{refusal}"
    );
}

#[test]
fn a_reader_without_a_card_is_no_stick() {
    let machine = Machine::new();
    let path = machine.stick("sda");
    let size = path
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("block/sda/size");
    fs::write(size, "0\n").unwrap();
    assert!(machine.refusal().contains("no stick is plugged in"));
}
