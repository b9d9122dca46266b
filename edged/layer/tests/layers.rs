//! What ordinary layers become. These tests need root, as the unpacker does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions
)]
#![allow(clippy::cast_possible_truncation)] // counts of test data

mod layer;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use edged_layer::{Compression, UnpackError, Unpacked, remove_tree};
use layer::{Header, Layer, Store, Tar, gzip, listing, xattrs, zstd};

fn unpacked(layer: &Layer) -> (Store, Unpacked) {
    let store = Store::new();
    let before = store.surroundings();
    let unpacked = store.unpack(layer).unwrap();
    assert_eq!(store.surroundings(), before);
    (store, unpacked)
}

fn read(store: &Store, path: &str) -> Vec<u8> {
    fs::read(store.root().join(path)).unwrap()
}

fn is_whiteout(store: &Store, path: &str) -> bool {
    let meta = fs::symlink_metadata(store.root().join(path)).unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(store: &Store, path: &str) -> bool {
    xattrs(&store.root().join(path)) == "trusted.overlay.opaque=y"
}

/// A folder with one of everything, packed by `tar` itself, comes out as it went in.
fn a_folder_survives(options: &[&str]) {
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    let long = "long name ".repeat(20);
    fs::create_dir_all(at("usr/lib/empty")).unwrap();
    fs::write(
        at("usr/lib/big"),
        (0..3_000_000_u32)
            .map(|n| (n % 251) as u8)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    fs::write(at("usr/lib/none"), "").unwrap();
    fs::write(at("usr/lib").join(&long), "long").unwrap();
    fs::create_dir_all(at(&["folder"; 40].join("/"))).unwrap();
    fs::write(
        source
            .path()
            .join(std::ffi::OsStr::from_bytes(b"not \xff text")),
        "bytes",
    )
    .unwrap();
    fs::hard_link(at("usr/lib/big"), at("usr/lib/same")).unwrap();
    symlink("usr/lib", at("lib")).unwrap();
    symlink(format!("/nowhere/{long}"), at("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    rustix::fs::chownat(
        rustix::fs::CWD,
        at("usr/lib/none"),
        Some(rustix::fs::Uid::from_raw(65_535)),
        None,
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    rustix::fs::chmod(at("usr/lib/none"), 0o6751.into()).unwrap();
    rustix::fs::chmod(at("usr/lib/empty"), 0o1777.into()).unwrap();
    let archive = Command::new("tar")
        .args(options)
        .arg("-cC")
        .arg(source.path())
        .args(["-f", "-", "."])
        .output()
        .unwrap();
    assert!(
        archive.status.success(),
        "{}",
        String::from_utf8_lossy(&archive.stderr)
    );
    let (store, unpacked) = unpacked(&Layer::new(
        gzip(&archive.stdout),
        &archive.stdout,
        Compression::Gzip,
    ));
    let mut there = listing(source.path(), |_| true);
    if !options.contains(&"--format=pax") {
        forget_nanoseconds(&mut there);
    }
    assert_eq!(store.inside(), there);
    assert_eq!(unpacked.entries, there.len() as u64 + 1);
    assert_eq!(unpacked.bytes, archive.stdout.len() as u64);
    assert!(!unpacked.hides_all_below);
}

/// GNU archives keep whole seconds.
fn forget_nanoseconds(listing: &mut BTreeMap<std::path::PathBuf, String>) {
    for line in listing.values_mut() {
        let dot = line.find('.').unwrap();
        line.replace_range(dot + 1..dot + 10, "000000000");
    }
}

#[test]
fn a_folder_survives_a_gnu_archive() {
    a_folder_survives(&["--format=gnu"]);
}

#[test]
fn a_folder_survives_a_pax_archive() {
    a_folder_survives(&["--format=pax"]);
}

#[test]
fn a_folder_survives_the_tar_crate() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o640);
    builder
        .append_data(&mut header, "etc/conf", &b"true"[..])
        .unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o640);
    builder
        .append_data(&mut header, "x".repeat(200), &b"long"[..])
        .unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    builder
        .append_link(&mut header, "l", "y".repeat(200))
        .unwrap();
    let archive = builder.into_inner().unwrap();
    let (store, _) = unpacked(&Layer::new(zstd(&archive), &archive, Compression::Zstd));
    assert_eq!(read(&store, "etc/conf"), b"true");
    assert_eq!(read(&store, &"x".repeat(200)), b"long");
    assert_eq!(
        fs::read_link(store.root().join("l")).unwrap(),
        Path::new(&"y".repeat(200))
    );
}

#[test]
fn a_whiteout_is_overlayfs_own() {
    let (store, _) = unpacked(
        &Tar::new()
            .folder("a")
            .file("a/.wh.gone", b"")
            .file(".wh.top", b"")
            .into(),
    );
    assert!(is_whiteout(&store, "a/gone"));
    assert!(is_whiteout(&store, "top"));
    assert_eq!(store.inside().len(), 3);
}

#[test]
fn an_opaque_folder_is_overlayfs_own() {
    let (store, unpacked) = unpacked(
        &Tar::new()
            .folder("a")
            .file("a/.wh..wh..opq", b"")
            .file("a/new", b"x")
            .into(),
    );
    assert!(is_opaque(&store, "a"));
    assert_eq!(read(&store, "a/new"), b"x");
    assert!(!unpacked.hides_all_below);
}

#[test]
fn an_opaque_root_is_told_to_the_caller() {
    let (_store, unpacked) = unpacked(
        &Tar::new()
            .file(".wh..wh..opq", b"")
            .file("new", b"x")
            .into(),
    );
    assert!(unpacked.hides_all_below);
}

#[test]
fn a_whiteout_spares_what_its_own_layer_brings() {
    let tar = Tar::new()
        .file("f", b"mine")
        .file(".wh.f", b"")
        .file("d/x", b"mine")
        .file(".wh.d", b"");
    let (store, _) = unpacked(&tar.into());
    assert_eq!(read(&store, "f"), b"mine");
    assert_eq!(read(&store, "d/x"), b"mine");
    assert!(
        is_opaque(&store, "d"),
        "the layers below would show in a folder that was deleted and made anew"
    );
}

#[test]
fn a_folder_after_its_whiteout_hides_what_is_below() {
    let (store, _) = unpacked(
        &Tar::new()
            .file(".wh.d", b"")
            .folder("d")
            .file("d/x", b"mine")
            .into(),
    );
    assert!(is_opaque(&store, "d"));
    assert_eq!(read(&store, "d/x"), b"mine");
}

/// The kernel's own word on it, where overlayfs can be mounted.
#[test]
fn overlayfs_reads_our_whiteouts() {
    let (below, _) = unpacked(
        &Tar::new()
            .file("gone", b"x")
            .file("d/old", b"x")
            .file("stays", b"x")
            .into(),
    );
    let (above, _) = unpacked(
        &Tar::new()
            .file(".wh.gone", b"")
            .file("d/.wh..wh..opq", b"")
            .file("d/new", b"x")
            .into(),
    );
    let options = format!(
        "lowerdir={}:{}",
        above.root().display(),
        below.root().display()
    );
    let script =
        format!("mount -t overlay overlay -o ro,{options} /mnt && cd /mnt && find . | sort");
    let seen = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&seen.stdout),
        ".\n./d\n./d/new\n./stays\n",
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
}

#[test]
fn attributes_are_kept_or_dropped_by_rule() {
    // VFS_CAP_REVISION_2, effective, CAP_NET_BIND_SERVICE.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.user.note", b"a=b\nc"),
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.security.selinux", b"system_u"),
            ("mtime", b"12.5"),
            ("uid", b"33"),
        ])
        .file("a", b"x");
    let (store, unpacked) = unpacked(&tar.into());
    let path = store.root().join("a");
    assert_eq!(
        xattrs(&path),
        format!(
            "security.capability={} user.note=a=b\\nc",
            capability.escape_ascii()
        )
    );
    assert_eq!(unpacked.dropped_xattrs, 1);
    let meta = fs::metadata(path).unwrap();
    assert_eq!(
        (meta.uid(), meta.mtime(), meta.mtime_nsec()),
        (33, 12, 500_000_000)
    );
}

#[test]
fn the_last_of_two_entries_wins() {
    let tar = Tar::new()
        .file("f", b"first, and longer")
        .file("f", b"second")
        .file("d/x/y", b"")
        .file("d", b"a file now")
        .file("e", b"a file")
        .file("e/", b"") // not a folder without its type
        .folder("e")
        .file("e/x", b"x")
        .symlink("l", "f")
        .file("l", b"no link any more");
    let (store, _) = unpacked(&tar.into());
    assert_eq!(read(&store, "f"), b"second");
    assert_eq!(read(&store, "d"), b"a file now");
    assert_eq!(read(&store, "e/x"), b"x");
    assert_eq!(read(&store, "l"), b"no link any more");
}

#[test]
fn a_file_replaced_leaves_its_hard_links_alone() {
    let (store, _) = unpacked(
        &Tar::new()
            .file("f", b"old")
            .hard_link("h", "f")
            .file("f", b"new")
            .into(),
    );
    assert_eq!(
        (read(&store, "f"), read(&store, "h")),
        (b"new".to_vec(), b"old".to_vec())
    );
}

#[test]
fn a_layers_own_links_lead_where_they_lead_in_the_container() {
    let tar = Tar::new()
        .folder("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib")
        .file("lib/a", b"a")
        .file("abs/b", b"b")
        .hard_link("lib/c", "abs/a");
    let (store, _) = unpacked(&tar.into());
    assert_eq!(
        (
            read(&store, "usr/lib/a"),
            read(&store, "usr/lib/b"),
            read(&store, "usr/lib/c")
        ),
        (b"a".to_vec(), b"b".to_vec(), b"a".to_vec())
    );
}

#[test]
fn folders_nobody_described_are_roots_of_1970() {
    let (store, _) = unpacked(&Tar::new().file("a/b/c", b"").file("a/d", b"").into());
    for path in ["a", "a/b"] {
        let meta = fs::metadata(store.root().join(path)).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.mtime()),
            (0o755, 0, 0),
            "{path}"
        );
    }
}

#[test]
fn a_folders_time_outlives_what_is_put_into_it() {
    let tar = Tar::new()
        .folder("a")
        .file("a/x", b"")
        .folder("b")
        .file("b/x", b"")
        .file("a/y", b"")
        .hard_link("b/z", "a/y");
    let (store, _) = unpacked(&tar.into());
    for path in ["a", "b"] {
        assert_eq!(
            fs::metadata(store.root().join(path)).unwrap().mtime(),
            0o14_000_000_000,
            "{path}"
        );
    }
}

#[test]
fn the_roots_own_entry_sets_its_attributes() {
    let tar = Tar::new()
        .header(&Header {
            name: b"./",
            kind: b'5',
            mode: 0o711,
            uid: 7,
            ..Header::default()
        })
        .file("x", b"");
    let (store, _) = unpacked(&tar.into());
    let meta = fs::metadata(store.root()).unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.uid(), meta.mtime()),
        (0o711, 7, 0o14_000_000_000)
    );
}

#[test]
fn several_gzip_members_and_zstd_frames_are_one_stream() {
    let archive = Tar::new()
        .file("a", &vec![1; 300_000])
        .file("b", b"b")
        .end();
    for cuts in [
        vec![700],
        vec![1, 2, 3, 300_500],
        (0..archive.len()).step_by(10_007).collect(),
    ] {
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([archive.len()]) {
            pieces.push(&archive[from..cut]);
            from = cut;
        }
        let blob: Vec<u8> = pieces.iter().flat_map(|piece| gzip(piece)).collect();
        let (store, _) = unpacked(&Layer::new(blob, &archive, Compression::Gzip));
        assert_eq!(read(&store, "a").len(), 300_000);
        let blob: Vec<u8> = pieces.iter().flat_map(|piece| zstd(piece)).collect();
        let (store, _) = unpacked(&Layer::new(blob, &archive, Compression::Zstd));
        assert_eq!(read(&store, "b"), b"b");
    }
}

#[test]
fn an_archive_may_end_with_no_mark_or_much_padding() {
    let tar = Tar::new().file("a", b"x");
    for archive in [
        tar.0.clone(),
        [tar.0.clone(), vec![0; 512]].concat(),
        [tar.0.clone(), vec![0; 1 << 20]].concat(),
    ] {
        let (store, _) = unpacked(&Layer::new(archive.clone(), &archive, Compression::None));
        assert_eq!(read(&store, "a"), b"x");
    }
}

#[test]
fn an_empty_layer_is_a_layer() {
    let (store, unpacked) = unpacked(&Tar::new().into());
    assert_eq!((store.inside().len(), unpacked.entries), (0, 0));
}

#[test]
fn a_comment_for_the_whole_archive_is_fine() {
    let comment = b"52 comment=0123456789012345678901234567890123456789\n";
    let (store, _) = unpacked(&Tar::new().raw_pax(b'g', comment).file("a", b"x").into());
    assert_eq!(read(&store, "a"), b"x");
}

#[test]
fn removing_what_is_not_there_is_done_and_a_path_is_no_name() {
    let store = Store::new();
    let folder = fs::File::open(store.outside()).unwrap();
    remove_tree(&folder, b"nothing").unwrap();
    for bad in [&b""[..], b".", b"..", b"store/layer", b"../x", b"/", b"a\0"] {
        assert!(remove_tree(&folder, bad).is_err(), "{bad:?} was taken");
    }
}

/// A file system of 256 KiB over the layer's folder, gone with the test.
struct SmallDisk<'s>(&'s Store);

impl<'s> SmallDisk<'s> {
    fn over(store: &'s Store) -> Self {
        let (flags, options) = (rustix::mount::MountFlags::empty(), c"size=256k");
        rustix::mount::mount("tmpfs", store.root(), "tmpfs", flags, options).unwrap();
        Self(store)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.root(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_named_as_such_and_the_same_layer_fits_later() {
    let layer = Layer::from(Tar::new().file("a", &vec![7; 1 << 20]));
    let store = Store::new();
    let disk = SmallDisk::over(&store);
    let full = store.unpack(&layer);
    assert!(
        matches!(full, Err(UnpackError::DiskFull { .. })),
        "{full:?}"
    );
    drop(disk);
    store.unpack(&layer).unwrap();
    assert_eq!(read(&store, "a").len(), 1 << 20);
}
