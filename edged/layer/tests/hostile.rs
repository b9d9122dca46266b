//! What a hostile layer tries: each attempt is refused for its own reason or stays inside, and nothing outside changes.
//! These tests need root, as the unpacker does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions
)]
#![allow(clippy::cast_possible_truncation)] // counts of test data

mod layer;

use std::fs;

use edged_layer::{Compression, UnpackError, bounds};
use layer::{Header, Layer, Store, Tar, digest, gzip, zstd};

/// Builds a layer for a store (given as an absolute path), unpacks it, compares the surroundings, removes the remains,
/// compares again; gives back what `unpack` said.
fn attempt(
    build: impl FnOnce(&str) -> Layer,
    look: impl FnOnce(&Store),
) -> Result<(), UnpackError> {
    let store = Store::new();
    let before = store.surroundings();
    let result = store
        .unpack(&build(store.outside().to_str().unwrap()))
        .map(|_| ());
    assert_eq!(
        store.surroundings(),
        before,
        "something outside the layer changed"
    );
    look(&store);
    store.remove();
    assert_eq!(
        store.surroundings(),
        before,
        "removing the layer changed something outside"
    );
    result
}

fn refusal(build: impl FnOnce(&str) -> Tar) -> UnpackError {
    attempt(|outside| build(outside).into(), |_| ()).expect_err("the layer was unpacked")
}

/// `name: layer => reason` is a test that the layer is refused for that reason, in one line of text.
macro_rules! refused {
    ($($name:ident: $layer:expr => $reason:pat,)+) => {
        $(#[test]
        fn $name() {
            let error = attempt(|_| Layer::from($layer), |_| ()).expect_err("the layer was unpacked");
            assert!(matches!(error, $reason), "refused for another reason: {error:?}");
            let text = error.to_string();
            assert!(text.len() < 700 && !text.contains(['\n', '\0', '\x1b']), "not one plain line: {text:?}");
        })+
    };
}

/// `name: layer => paths` is a test that the layer unpacks and these files exist inside of it.
macro_rules! contained {
    ($($name:ident: $layer:expr => [$($path:expr),*];)+) => {
        $(#[test]
        fn $name() {
            attempt(|_| Layer::from($layer), |store| {
                $(assert!(fs::symlink_metadata(store.root().join($path)).is_ok(), "{} is missing: {:#?}", $path, store.inside());)*
            }).expect("the layer was refused");
        })+
    };
}

fn tar() -> Tar {
    Tar::new()
}

fn small() -> Vec<u8> {
    tar().file("a", b"one").file("b", &[7; 5000]).end()
}

#[allow(clippy::needless_pass_by_value)] // reads better where it is used
fn plain(archive: Vec<u8>) -> Layer {
    Layer::new(archive.clone(), &archive, Compression::None)
}

fn cut(mut blob: Vec<u8>, bytes: usize) -> Vec<u8> {
    blob.truncate(blob.len() - bytes);
    blob
}

fn raw(header: &Header) -> Tar {
    tar().header(header)
}

fn zeros(count: usize) -> Vec<u8> {
    tar().file("zeros", &vec![0; count]).end()
}

fn xattr(name: &str, value: &[u8]) -> Tar {
    tar()
        .pax(&[(&format!("SCHILY.xattr.{name}"), value)])
        .file("a", b"")
}

fn deep(levels: usize) -> String {
    vec!["d"; levels].join("/")
}

// Paths.
refused! {
    dot_dot_at_the_start: tar().file("../secret", b"x") => UnpackError::ParentPath { .. },
    dot_dot_in_the_middle: tar().folder("a").file("a/../../secret", b"x") => UnpackError::ParentPath { .. },
    dot_dot_at_the_end: tar().folder("a/..") => UnpackError::ParentPath { .. },
    dot_dot_in_a_pax_path: tar().pax(&[("path", b"../../secret")]).file("harmless", b"x") => UnpackError::ParentPath { .. },
    dot_dot_in_a_gnu_long_name: tar().gnu(b'L', b"a/../../../secret").file("harmless", b"x") => UnpackError::ParentPath { .. },
    an_absolute_path_with_two_slashes: tar().file("//nonexistent/x", b"x") => UnpackError::AbsolutePath { .. },
    an_empty_name: tar().file("", b"x") => UnpackError::EmptyName,
    a_nul_in_a_pax_path: tar().pax(&[("path", b"a\0/../../b")]).file("harmless", b"x") => UnpackError::NulInName { .. },
    a_file_in_place_of_the_root: tar().file("./", b"x") => UnpackError::RootNotFolder,
    a_link_in_place_of_the_root: tar().symlink(".", "../neighbour") => UnpackError::RootNotFolder,
    a_path_that_is_too_long: tar().gnu(b'L', "dir/".repeat(1100).as_bytes()).file("x", b"") => UnpackError::PathTooLong { .. },
    a_name_that_is_too_long: tar().gnu(b'L', &[b'n'; 256]).file("x", b"") => UnpackError::NameTooLong { .. },
    folders_that_are_too_deep: tar().gnu(b'L', deep(bounds::DEPTH + 1).as_bytes()).file("x", b"") => UnpackError::TooDeep { .. },
    a_file_under_a_file: tar().file("a", b"x").file("a/b", b"y") => UnpackError::ParentNotFolder { .. },
    a_folder_under_a_pipe: tar().of_kind("a", b'6').folder("a/b/c") => UnpackError::ParentNotFolder { .. },
}

// Symbolic links.
refused! {
    a_write_through_a_dangling_link: tar().symlink("out", "../../store/neighbour").file("out/file", b"x") => UnpackError::ParentNotFolder { .. },
    links_in_a_circle: tar().symlink("a", "b").symlink("b", "a").file("a/x", b"") => UnpackError::SymlinkLoop { .. },
    a_link_to_itself: tar().symlink("a", "a/a").file("a/x", b"") => UnpackError::SymlinkLoop { .. },
    a_link_without_a_target: tar().symlink("a", "") => UnpackError::BadSymlinkTarget { .. },
    a_link_with_a_nul_in_its_target: tar().pax(&[("linkpath", b"a\0b")]).symlink("a", "x") => UnpackError::BadSymlinkTarget { .. },
    a_link_with_an_endless_target: tar().gnu(b'K', &[b't'; 5000]).symlink("a", "x") => UnpackError::BadSymlinkTarget { .. },
}
contained! {
    a_write_through_a_climbing_link_stays_inside: tar().symlink("out", "../..").file("out/secret", b"x") => ["secret"];
    a_write_through_a_chain_of_links_stays_inside:
        tar().folder("d/e").symlink("d/e/up", "../../..").symlink("b", "d/e/up/..").file("b/x/y", b"x") => ["x/y"];
    a_file_over_a_link_replaces_the_link: tar().symlink("a", "../secret").file("a", b"mine") => ["a"];
    a_folder_over_a_link_replaces_the_link: tar().symlink("a", "..").folder("a").file("a/secret", b"x") => ["a/secret"];
    a_link_swapped_for_a_folder_in_use_is_resolved_anew:
        tar().folder("a").file("a/x", b"").symlink("a", "../neighbour").folder("neighbour").symlink("a", "neighbour").file("a/file", b"x")
            => ["neighbour/file"];
    a_pipe_over_a_link_replaces_the_link: tar().symlink("a", "../secret").of_kind("a", b'6') => ["a"];
}

// Hard links.
refused! {
    a_hard_link_that_climbs_out: tar().hard_link("a", "../secret") => UnpackError::HardLinkOutside { .. },
    a_hard_link_that_climbs_out_on_the_way: tar().folder("d").hard_link("a", "d/../../secret") => UnpackError::HardLinkOutside { .. },
    a_hard_link_to_a_link: tar().symlink("l", "../secret").hard_link("a", "l") => UnpackError::HardLinkNotFile { .. },
    a_hard_link_through_a_link: tar().symlink("l", "..").hard_link("a", "l/secret") => UnpackError::HardLinkMissing { .. },
    a_hard_link_to_a_folder: tar().folder("d").hard_link("a", "d") => UnpackError::HardLinkNotFile { .. },
    a_hard_link_to_the_root: tar().hard_link("a", "./") => UnpackError::HardLinkNotFile { .. },
    a_hard_link_to_a_whiteout: tar().file(".wh.d", b"").hard_link("a", "d") => UnpackError::HardLinkNotFile { .. },
    a_hard_link_to_itself: tar().file("a", b"x").hard_link("a", "./a") => UnpackError::HardLinkMissing { .. },
    a_hard_link_to_itself_through_a_link:
        tar().folder("d").file("d/f", b"x").symlink("e", "d").hard_link("e/f", "d/f") => UnpackError::HardLinkMissing { .. },
    a_hard_link_before_its_file: tar().hard_link("a", "b").file("b", b"x") => UnpackError::HardLinkMissing { .. },
    a_hard_link_over_its_files_folder: tar().file("d/f", b"x").hard_link("d", "d/f") => UnpackError::HardLinkMissing { .. },
    a_hard_link_with_data:
        raw(&Header { name: b"a", kind: b'1', link: b"b", size: 4, ..Header::default() }).data(b"data") => UnpackError::DataWithoutFile { .. },
    too_many_hard_links:
        Layer::from(tar().file("f", b"").hard_link("a", "f").hard_link("b", "f").hard_link("c", "f")).bounded(|b| b.hard_links = 2)
            => UnpackError::TooManyHardLinks { .. },
}

// Whiteouts.
refused! {
    a_whiteout_of_the_parent: tar().file(".wh...", b"") => UnpackError::BadWhiteout { .. },
    a_whiteout_of_the_parent_further_down: tar().file("a/.wh...", b"") => UnpackError::BadWhiteout { .. },
    a_whiteout_of_the_folder_itself: tar().file(".wh..", b"") => UnpackError::BadWhiteout { .. },
    a_whiteout_of_nothing: tar().file(".wh.", b"") => UnpackError::BadWhiteout { .. },
    a_whiteout_of_nothing_as_a_folder: tar().folder(".wh./") => UnpackError::BadWhiteout { .. },
    a_whiteout_with_a_path_behind_it: tar().file(".wh.../secret", b"") => UnpackError::BadWhiteout { .. },
    a_whiteout_that_is_a_folder: tar().folder(".wh.a") => UnpackError::BadWhiteout { .. },
    a_whiteout_that_is_a_link: tar().symlink(".wh.a", "../secret") => UnpackError::BadWhiteout { .. },
    a_whiteout_that_is_a_hard_link: tar().file("f", b"").hard_link(".wh.a", "f") => UnpackError::BadWhiteout { .. },
    a_whiteout_with_content: tar().file(".wh.a", b"x") => UnpackError::BadWhiteout { .. },
    a_whiteout_of_a_whiteout: tar().file(".wh..wh.a", b"") => UnpackError::BadWhiteout { .. },
    a_file_under_a_whiteout: tar().file(".wh.a", b"").file("a/b", b"x") => UnpackError::ParentNotFolder { .. },
}
contained! {
    a_whiteout_through_a_climbing_link_stays_inside: tar().symlink("out", "../..").file("out/.wh.secret", b"") => ["secret"];
    a_file_over_a_whiteout_replaces_it: tar().file(".wh.a", b"").file("a", b"x") => ["a"];
}

// Devices, odd types, attributes.
refused! {
    a_character_device: tar().of_kind("null", b'3') => UnpackError::Device { kind: "character", .. },
    a_block_device: tar().of_kind("sda", b'4') => UnpackError::Device { kind: "block", .. },
    an_unknown_type: tar().of_kind("a", b'Z') => UnpackError::UnknownType { .. },
    a_gnu_sparse_file: tar().of_kind("a", b'S') => UnpackError::Sparse { .. },
    a_pax_sparse_file:
        tar().pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9999999999999")]).file("a", b"x") => UnpackError::Sparse { .. },
    a_folder_with_data:
        raw(&Header { name: b"a", kind: b'5', size: 512, ..Header::default() }).data(&[1; 512]) => UnpackError::DataWithoutFile { .. },
    an_owner_out_of_range: raw(&Header { name: b"a", uid: 65_536, ..Header::default() }) => UnpackError::OwnerOutOfRange { id: 65_536, .. },
    a_group_out_of_range:
        raw(&Header { name: b"a", gid: 4_294_967_295, ..Header::default() }) => UnpackError::OwnerOutOfRange { id: 4_294_967_295, .. },
    an_owner_below_zero: tar().pax(&[("uid", b"-1")]).file("a", b"") => UnpackError::OwnerOutOfRange { id: -1, .. },
    an_overlay_attribute: xattr("trusted.overlay.redirect", b"/secret") => UnpackError::ForbiddenXattr { .. },
    an_overlay_attribute_of_the_user_kind: xattr("user.overlay.opaque", b"y") => UnpackError::ForbiddenXattr { .. },
    a_security_attribute: xattr("security.ima", b"x") => UnpackError::ForbiddenXattr { .. },
    an_attribute_without_a_namespace: xattr("", b"x") => UnpackError::ForbiddenXattr { .. },
    capabilities_the_kernel_does_not_know: xattr("security.capability", b"everything") => UnpackError::BadXattr { .. },
    an_attribute_on_a_link: tar().pax(&[("SCHILY.xattr.user.a", b"x")]).symlink("l", "x") => UnpackError::BadXattr { .. },
    attributes_that_are_too_long: xattr("user.a", &vec![b'v'; 70_000]) => UnpackError::XattrsTooLong { .. },
    too_many_attributes: {
        let names: Vec<_> = (0..100).map(|n| format!("SCHILY.xattr.user.{n}")).collect();
        let records: Vec<_> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
        tar().pax(&records).file("a", b"")
    } => UnpackError::BadExtension { .. },
}

// Sizes and counts.
refused! {
    a_file_of_a_tebibyte: raw(&Header { name: b"a", size: 1 << 40, ..Header::default() }) => UnpackError::FileTooLarge { .. },
    a_file_of_a_tebibyte_by_pax: tar().pax(&[("size", b"1099511627776")]).file("a", b"x") => UnpackError::FileTooLarge { .. },
    a_size_of_all_ones: raw(&Header { name: b"a", size: u64::MAX, ..Header::default() }) => UnpackError::BadHeader { field: "size", .. },
    more_bytes_than_allowed: plain(small()).bounded(|b| b.bytes = 4096) => UnpackError::TooManyBytes { .. } | UnpackError::FileTooLarge { .. },
    padding_without_end: {
        let archive = [small(), vec![0; 1 << 20]].concat();
        plain(archive).bounded(|b| b.bytes = 1 << 19)
    } => UnpackError::TooManyBytes { .. },
    more_entries_than_allowed:
        Layer::from((0..11).fold(tar(), |tar, n| tar.file(&format!("f{n}"), b""))).bounded(|b| b.entries = 10)
            => UnpackError::TooManyEntries { limit: 10 },
    a_gzip_bomb: {
        let archive = zeros(100 << 20);
        Layer::new(gzip(&archive), &archive, Compression::Gzip)
    } => UnpackError::Bomb { .. },
    a_zstd_bomb: {
        let archive = zeros(100 << 20);
        Layer::new(zstd(&archive), &archive, Compression::Zstd)
    } => UnpackError::Bomb { .. },
    an_endless_pax_record: raw(&Header { name: b"p", kind: b'x', size: 1 << 30, ..Header::default() }) => UnpackError::ExtensionTooLong { .. },
    an_endless_gnu_name: raw(&Header { name: b"p", kind: b'L', size: 1 << 30, ..Header::default() }) => UnpackError::ExtensionTooLong { .. },
}

// Extension records.
refused! {
    a_pax_record_that_lies_about_its_length: tar().raw_pax(b'x', b"99 path=a\n").file("a", b"") => UnpackError::BadExtension { .. },
    a_pax_size_that_is_no_number: tar().pax(&[("size", b"-5")]).file("a", b"") => UnpackError::BadExtension { .. },
    two_pax_headers_for_one_entry: tar().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", b"") => UnpackError::BadExtension { .. },
    two_long_names_for_one_entry: tar().gnu(b'L', b"a").gnu(b'L', b"b").file("c", b"") => UnpackError::BadExtension { .. },
    a_pax_header_with_nothing_after_it: tar().pax(&[("path", b"a")]) => UnpackError::BadExtension { .. },
    a_global_header_that_renames_everything: tar().raw_pax(b'g', b"18 path=../secret\n").file("c", b"") => UnpackError::BadExtension { .. },
}

// Streams.
refused! {
    a_wrong_digest: plain(small()).expecting(|e| e.digest = digest(b"")) => UnpackError::WrongDigest { .. },
    a_wrong_diff_id: plain(small()).expecting(|e| e.diff_id = digest(b"")) => UnpackError::WrongDiffId { .. },
    a_blob_longer_than_said: plain(small()).expecting(|e| e.size -= 1) => UnpackError::BlobTooLong { .. },
    a_blob_shorter_than_said: plain(small()).expecting(|e| e.size += 1) => UnpackError::BlobTooShort { .. },
    an_empty_gzip_blob: Layer::new(Vec::new(), b"", Compression::Gzip) => UnpackError::Truncated { compression: Compression::Gzip },
    a_gzip_stream_cut_off: Layer::new(cut(gzip(&small()), 20), &small(), Compression::Gzip) => UnpackError::Truncated { .. },
    a_gzip_stream_without_its_trailer: Layer::new(cut(gzip(&small()), 8), &small(), Compression::Gzip) => UnpackError::Truncated { .. },
    a_zstd_stream_cut_off: Layer::new(cut(zstd(&small()), 5), &small(), Compression::Zstd) => UnpackError::Truncated { .. },
    garbage_after_a_gzip_stream: {
        let blob = [gzip(&small()), b"garbage".to_vec()].concat();
        Layer::new(blob, &small(), Compression::Gzip)
    } => UnpackError::TrailingData { compression: Compression::Gzip },
    garbage_after_a_zstd_stream: {
        let blob = [zstd(&small()), b"garbage".to_vec()].concat();
        Layer::new(blob, &small(), Compression::Zstd)
    } => UnpackError::TrailingData { compression: Compression::Zstd },
    a_gzip_checksum_that_is_wrong: {
        let mut blob = gzip(&small());
        let at = blob.len() - 6;
        blob[at] ^= 1;
        Layer::new(blob, &small(), Compression::Gzip)
    } => UnpackError::Damaged { .. },
    gzip_that_is_zstd: Layer::new(zstd(&small()), &small(), Compression::Gzip) => UnpackError::Damaged { .. },
    a_zstd_window_of_128_mebibytes: {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(27)).unwrap();
        std::io::Write::write_all(&mut encoder, &small()).unwrap();
        Layer::new(encoder.finish().unwrap(), &small(), Compression::Zstd)
    } => UnpackError::Damaged { .. },
    an_archive_cut_off_in_a_file: plain(cut(small(), 1024 + 600)) => UnpackError::TruncatedArchive { .. },
    an_archive_cut_off_in_a_header: plain(small()[..100].to_vec()) => UnpackError::TruncatedArchive { .. },
    garbage_after_the_archive: plain([small(), tar().file("../secret", b"").end()].concat()) => UnpackError::GarbageAfterEnd { .. },
    a_header_with_a_wrong_checksum: {
        let mut archive = small();
        archive[0] = b'z';
        plain(archive)
    } => UnpackError::BadChecksum { at: 0 },
    a_header_with_letters_for_a_mode: {
        let mut archive = small();
        archive[100..107].copy_from_slice(b"rwxr-xr");
        let sum: u32 = archive[..148].iter().chain(&archive[156..512]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        plain(archive)
    } => UnpackError::BadHeader { field: "mode", .. },
    noise: plain((0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()) => UnpackError::BadChecksum { .. },
}

#[test]
fn an_absolute_path() {
    let error = refusal(|outside| {
        tar()
            .gnu(b'L', format!("{outside}/secret").as_bytes())
            .file("a", b"x")
    });
    assert!(
        matches!(error, UnpackError::AbsolutePath { .. }),
        "{error:?}"
    );
}

#[test]
fn an_absolute_hard_link() {
    let error = refusal(|outside| {
        tar()
            .gnu(b'K', format!("{outside}/secret").as_bytes())
            .hard_link("a", "x")
    });
    assert!(
        matches!(error, UnpackError::HardLinkOutside { .. }),
        "{error:?}"
    );
}

#[test]
fn a_write_through_an_absolute_link() {
    let error = refusal(|outside| tar().symlink("out", outside).file("out/secret", b"x"));
    assert!(
        matches!(error, UnpackError::ParentNotFolder { .. }),
        "{error:?}"
    );
}

#[test]
fn a_write_through_a_link_to_proc() {
    let error = refusal(|outside| {
        tar()
            .symlink("out", "/proc/self/root")
            .gnu(b'L', format!("out{outside}/secret").as_bytes())
            .file("a", b"x")
    });
    assert!(
        matches!(error, UnpackError::ParentNotFolder { .. }),
        "{error:?}"
    );
}

#[test]
fn a_hard_link_through_an_absolute_link() {
    let error = refusal(|outside| tar().symlink("l", outside).hard_link("a", "l/secret"));
    assert!(
        matches!(error, UnpackError::HardLinkMissing { .. }),
        "{error:?}"
    );
}

#[test]
fn an_unknown_media_type_is_refused() {
    let refused = Compression::from_media_type("application/vnd.oci.image.layer.v1.tar+xz");
    assert!(
        matches!(refused, Err(UnpackError::UnknownMediaType { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_set_uid_file_never_touches_a_file_outside() {
    let tar = tar().symlink("sh", "../secret");
    let tar = tar.header(&Header {
        name: b"sh",
        mode: 0o104_755,
        ..Header::default()
    });
    attempt(
        |_| tar.into(),
        |store| {
            let mode = std::os::unix::fs::MetadataExt::mode(
                &fs::symlink_metadata(store.root().join("sh")).unwrap(),
            );
            assert_eq!(mode, 0o104_755, "set-uid is kept, on a file of ours");
        },
    )
    .expect("the layer was refused");
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    // Every link shortens the way to the folder it points at, so no name is ever deep; 10 links stay below the
    // kernel's 40 even when it counts them again after a lookup it had to repeat.
    let mut tar = tar();
    let mut above = String::from("r");
    for level in 0..10 {
        let below = format!("{above}/{}", vec!["longer"; 100].join("/"));
        tar = tar.gnu(b'L', below.as_bytes()).folder("x");
        tar = tar
            .gnu(b'K', below.as_bytes())
            .symlink(&format!("l{level}"), "x");
        above = format!("l{level}");
    }
    attempt(|_| tar.into(), |_| ()).expect("the layer was refused");
}
