//! File systems that lie: nothing panics, nothing runs on for ever, nothing is longer than it says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::LazyLock;

use edged_stick::{Content, Volume};
use proptest::prelude::*;

#[allow(dead_code)] // Some of it is for tests that are not here.
mod made;
use made::{content, exfat, fat32};

/// Beyond it there is nothing in a FAT32 of ours: reserved sectors, two tables, the folder and the bundle.
const USED: usize = 700_000;

/// A FAT32 and an exFAT, each with a bundle.
static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fat32(&path, 1, &[("2.update", content(20_000))]);
    let fat = fs::read(&path).unwrap();
    exfat(&path, "2.update", &content(20_000), false);
    [fat, fs::read(&path).unwrap()]
});

/// An image of which some bytes are others.
struct Changed<'a> {
    image: &'a [u8],
    changes: BTreeMap<usize, u8>,
    at: usize,
}

impl<'a> Changed<'a> {
    fn new(image: &'a [u8], changes: impl IntoIterator<Item = (usize, u8)>) -> Self {
        let changes = changes.into_iter().collect();
        Self {
            image,
            changes,
            at: 0,
        }
    }
}

impl Read for Changed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.image.get(self.at..).unwrap_or_default().read(buffer)?;
        for (at, byte) in self.changes.range(self.at..self.at.saturating_add(read)) {
            buffer[at - self.at] = *byte;
        }
        self.at += read;
        Ok(read)
    }
}

impl Seek for Changed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else {
            return Err(io::Error::other("only from the beginning"));
        };
        self.at = usize::try_from(at).map_err(io::Error::other)?;
        Ok(at)
    }
}

/// Reads all that an image offers, and tells how much of it came.
fn read(image: Changed<'_>) -> Vec<(u64, u64)> {
    let Ok(Some(mut volume)) = Volume::open(image) else {
        return Vec::new();
    };
    let bundles = volume.bundles().unwrap_or_default();
    let mut lengths = Vec::new();
    for bundle in bundles {
        // What is announced to be endless is read for as long as anybody would have patience.
        let mut taken = Content::new(&mut volume, &bundle).take(4 << 20);
        let mut out = Vec::new();
        let _ = taken.read_to_end(&mut out);
        lengths.push((u64::try_from(out.len()).unwrap(), bundle.size));
    }
    lengths
}

/// Where the measures, the first entries of the table and the top folder are.
fn places(image: &[u8]) -> Vec<usize> {
    let interesting = |at: &usize| *at < 1 << 10 || image[*at] != 0;
    (0..image.len().min(USED)).filter(interesting).collect()
}

#[test]
fn good_images_are_read_whole() {
    for image in GOOD.iter() {
        assert_eq!(read(Changed::new(image, [])), [(20_000, 20_000)]);
    }
}

#[test]
fn an_image_that_was_cut_anywhere_ends() {
    for image in GOOD.iter() {
        for end in (0..USED).step_by(509) {
            for (came, size) in read(Changed::new(&image[..end], [])) {
                assert!(came <= size);
            }
        }
    }
}

#[test]
fn a_chain_that_loops_gives_no_more_than_the_size_and_a_folder_that_loops_is_refused() {
    let image = &GOOD[0];
    let number = |at: usize| usize::from(image[at]) | usize::from(image[at + 1]) << 8;
    let (table, length, root) = (number(14) * 512, number(36), number(44));
    // Every entry of the table points to itself.
    let itself = |cluster: usize| {
        let bytes = u32::try_from(cluster).unwrap().to_le_bytes();
        (0..4).map(move |at| (table + cluster * 4 + at, bytes[at]))
    };
    let loops = || (2..length * 128).flat_map(itself);
    assert_eq!(read(Changed::new(image, loops())), [(20_000, 20_000)]);
    // And the folder has no end of its own.
    let folder = table + (usize::from(image[16]) * length + root - 2) * 512;
    let deleted = (0..16).map(|entry| (folder + entry * 32, 0xe5));
    let endless = Changed::new(image, loops().chain(deleted));
    let mut volume = Volume::open(endless).unwrap().unwrap();
    let refusal = volume.bundles().unwrap_err().to_string();
    assert!(refusal.contains("does not end"), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_bytes_are_changed_reading_ends(
        which in 0..2_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        static PLACES: LazyLock<[Vec<usize>; 2]> = LazyLock::new(|| [places(&GOOD[0]), places(&GOOD[1])]);
        let changes = changes.into_iter().map(|(place, byte)| (*place.get(&PLACES[which]), byte));
        for (came, size) in read(Changed::new(&GOOD[which], changes)) {
            prop_assert!(came <= size);
        }
    }

    #[test]
    fn noise_is_no_volume_or_one_that_ends(head in prop::collection::vec(any::<u8>(), 512), exfat: bool) {
        let kept = if exfat { 11 } else { 3 };
        let changes = (kept..510).map(|at| (at, head[at]));
        read(Changed::new(&GOOD[usize::from(exfat)], changes));
    }
}
