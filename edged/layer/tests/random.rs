//! Whatever the archive says, nothing outside the layer changes and what remains can be removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions
)]
#![allow(clippy::cast_possible_truncation)] // counts of test data

mod layer;

use layer::{Header, Layer, Store, Tar};
use proptest::prelude::*;

/// Few names, so that entries meet each other often.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c"]),
        2 => prop::sample::select(vec!["..", ".", "", "secret", "store", "neighbour", "layer", "file"]),
        2 => prop::sample::select(vec![".wh.a", ".wh.b", ".wh..wh..opq", ".wh...", ".wh.", ".wh.secret"]),
    ];
    (
        prop::bool::weighted(0.03),
        prop::collection::vec(piece, 1..5),
    )
        .prop_map(|(absolute, pieces)| {
            let path = pieces.join("/");
            if absolute { format!("/{path}") } else { path }
        })
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => name(),
        1 => prop::sample::select(vec!["..", "../..", "../secret", "../../secret", "/store", ".", "a/../.."]).prop_map(str::to_owned),
    ]
}

fn entry() -> impl Strategy<Value = (String, u8, String, Vec<u8>)> {
    let kind = prop_oneof![
        6 => Just(b'0'), 5 => Just(b'5'), 5 => Just(b'2'), 3 => Just(b'1'), 1 => Just(b'6'),
    ];
    (
        name(),
        kind,
        target(),
        prop::collection::vec(any::<u8>(), 0..3),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_reaches_outside(entries in prop::collection::vec(entry(), 1..24)) {
        // A refusal ends a layer: the rest is tried as a layer of its own, on top of what is there already.
        let store = Store::new();
        let before = store.surroundings();
        for part in entries.chunks(4) {
            let tar = part.iter().fold(Tar::new(), |tar, (name, kind, link, data)| {
                let (name, link) = (name.as_bytes(), link.as_bytes());
                let data = if *kind == b'0' && !name.windows(4).any(|w| w == b".wh.") { data.as_slice() } else { b"" };
                tar.header(&Header { name, kind: *kind, link, size: data.len() as u64, mode: 0o4755, ..Header::default() }).data(data)
            });
            let _ = store.unpack(&tar.into());
            prop_assert_eq!(&store.surroundings(), &before);
        }
        store.remove();
        prop_assert_eq!(&store.surroundings(), &before);
    }

    #[test]
    fn no_flipped_byte_reaches_outside(flips in prop::collection::vec((0..6_000_usize, any::<u8>()), 1..6)) {
        let tar = Tar::new()
            .pax(&[("path", b"a/b"), ("SCHILY.xattr.user.x", b"y"), ("mtime", b"1.5")])
            .file("x", b"data")
            .gnu(b'L', &[b'n'; 120])
            .symlink("l", "../secret")
            .hard_link("h", "a/b");
        let mut archive = tar.end();
        for (at, byte) in flips {
            let at = at % archive.len();
            archive[at] = byte;
            // A checksum made right again lets the damage through to what reads the header.
            let block = at / 512 * 512;
            let sum: u32 = (block..block + 512).filter(|i| !(148..156).contains(&(i % 512))).map(|i| u32::from(archive[i])).sum();
            archive[block + 148..block + 156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
        }
        let store = Store::new();
        let before = store.surroundings();
        let _ = store.unpack(&Layer::new(archive.clone(), &archive, edged_layer::Compression::None));
        prop_assert_eq!(&store.surroundings(), &before);
        store.remove();
        prop_assert_eq!(&store.surroundings(), &before);
    }
}
