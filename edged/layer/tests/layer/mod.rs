//! Layers written by hand, byte for byte, and folders looked at from outside.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use edged_layer::{Bounds, Compression, Expected, UnpackError, Unpacked, remove_tree, unpack};
use edged_model::Digest;

/// A tar archive under construction: nothing is checked, everything can be wrong.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

/// One header's fields.
pub struct Header<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    pub link: &'a [u8],
    pub size: u64,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
}

impl Default for Header<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            kind: b'0',
            link: b"",
            size: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
        }
    }
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn header(mut self, header: &Header) -> Self {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &header.name[..header.name.len().min(100)]);
        put(100, format!("{:07o}", header.mode).as_bytes());
        put(108, &octal(header.uid, 8));
        put(116, &octal(header.gid, 8));
        put(124, &octal(header.size, 12));
        put(136, b"14000000000");
        put(156, &[header.kind]);
        put(157, &header.link[..header.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn entry(self, name: &str, kind: u8, link: &str, data: &[u8]) -> Self {
        let (name, link, size) = (name.as_bytes(), link.as_bytes(), data.len() as u64);
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        self.header(&Header {
            name,
            kind,
            link,
            size,
            mode,
            ..Header::default()
        })
        .data(data)
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(name, b'0', "", data)
    }

    pub fn folder(self, name: &str) -> Self {
        self.entry(name, b'5', "", b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', target, b"")
    }

    pub fn of_kind(self, name: &str, kind: u8) -> Self {
        self.entry(name, kind, "", b"")
    }

    /// A GNU record ('L' or 'K') for the next entry.
    pub fn gnu(self, kind: u8, text: &[u8]) -> Self {
        let data = [text, b"\0"].concat();
        let size = data.len() as u64;
        self.header(&Header {
            name: b"././@LongLink",
            kind,
            size,
            ..Header::default()
        })
        .data(&data)
    }

    /// A PAX header for the next entry, its records right.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let mut length = body.len() + 1;
            while length != body.len() + length.to_string().len() {
                length = body.len() + length.to_string().len();
            }
            data.extend_from_slice(length.to_string().as_bytes());
            data.extend_from_slice(&body);
        }
        self.raw_pax(b'x', &data)
    }

    pub fn raw_pax(self, kind: u8, data: &[u8]) -> Self {
        let size = data.len() as u64;
        self.header(&Header {
            name: b"pax",
            kind,
            size,
            ..Header::default()
        })
        .data(data)
    }

    /// The archive with its end mark.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn octal(number: u64, width: usize) -> Vec<u8> {
    let digits = format!("{number:0w$o}", w = width - 1);
    if digits.len() < width {
        return digits.into_bytes();
    }
    let mut bytes = vec![0; width];
    bytes[width - 8..].copy_from_slice(&number.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

pub fn digest(data: &[u8]) -> Digest {
    let hash = ring::digest::digest(&ring::digest::SHA256, data);
    Digest::from_sha256(hash.as_ref().try_into().unwrap())
}

/// A blob and what its manifest says.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub expected: Expected,
    pub bounds: Bounds,
}

impl Layer {
    pub fn new(blob: Vec<u8>, archive: &[u8], compression: Compression) -> Self {
        let size = blob.len() as u64;
        let expected = Expected {
            digest: digest(&blob),
            size,
            diff_id: digest(archive),
            compression,
        };
        Self {
            blob,
            expected,
            bounds: Bounds::default(),
        }
    }

    pub fn bounded(mut self, change: impl FnOnce(&mut Bounds)) -> Self {
        change(&mut self.bounds);
        self
    }

    pub fn expecting(mut self, change: impl FnOnce(&mut Expected)) -> Self {
        change(&mut self.expected);
        self
    }
}

impl From<Tar> for Layer {
    fn from(tar: Tar) -> Self {
        let archive = tar.end();
        Self::new(archive.clone(), &archive, Compression::None)
    }
}

/// A store with one layer's folder in it, and around it what a hostile layer would like to reach.
pub struct Store {
    outside: tempfile::TempDir,
}

impl Store {
    pub fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let at = |name: &str| outside.path().join(name);
        fs::write(at("secret"), "nobody may read or write this").unwrap();
        fs::create_dir_all(at("store/layer")).unwrap();
        fs::create_dir(at("store/neighbour")).unwrap();
        fs::write(at("store/neighbour/file"), "another layer").unwrap();
        fs::write(at("store/secret"), "nor this").unwrap();
        symlink("../secret", at("store/link")).unwrap();
        Self { outside }
    }

    pub fn outside(&self) -> &Path {
        self.outside.path()
    }

    pub fn root(&self) -> PathBuf {
        self.outside.path().join("store/layer")
    }

    pub fn unpack(&self, layer: &Layer) -> Result<Unpacked, UnpackError> {
        let root = File::open(self.root()).unwrap();
        unpack(
            layer.blob.as_slice(),
            root.as_fd(),
            &layer.expected,
            &layer.bounds,
        )
    }

    pub fn remove(&self) {
        let store = File::open(self.outside.path().join("store")).unwrap();
        remove_tree(&store, b"layer").unwrap();
        assert!(!self.root().exists(), "the layer is still there");
    }

    /// Everything but the layer.
    pub fn surroundings(&self) -> BTreeMap<PathBuf, String> {
        let layer = self.root();
        let mut all = listing(self.outside(), |path| path != layer);
        all.retain(|path, _| path != Path::new("store") && path != Path::new("store/layer"));
        all
    }

    pub fn inside(&self) -> BTreeMap<PathBuf, String> {
        listing(&self.root(), |_| true)
    }
}

/// Every path beneath `top` with all there is to know of it: type, mode, owner, links, time, content, attributes.
/// Folders that are not `entered` are named only.
pub fn listing(top: &Path, entered: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                if entered(&path) {
                    folders.push(path.clone());
                }
                String::new()
            } else if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_file() {
                let mut content = Vec::new();
                File::open(&path)
                    .unwrap()
                    .read_to_end(&mut content)
                    .unwrap();
                format!("{} bytes {}", content.len(), digest(&content))
            } else {
                format!("device {}", meta.rdev())
            };
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            let line = format!(
                "{:o} {}:{} links {links} {}.{:09} {content} {}",
                meta.permissions().mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
                xattrs(&path)
            );
            all.insert(path.strip_prefix(top).unwrap().to_path_buf(), line);
        }
    }
    all
}

/// `name=value` of every extended attribute that is not the machine's own.
pub fn xattrs(path: &Path) -> String {
    let mut names = vec![0_u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut all = Vec::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0_u8; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        all.push(format!(
            "{}={}",
            name.escape_ascii(),
            value[..length].escape_ascii()
        ));
    }
    all.sort();
    all.join(" ")
}

/// The bytes of a path, for tests with names that are no text.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
