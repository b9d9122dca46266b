//! How much one layer may ask for. Every default is a constant with its reason.

/// Entries: a distribution with a large `node_modules` has about 100,000; each costs an inode.
pub const ENTRIES: u64 = 200_000;
/// Bytes of the uncompressed archive: the largest layers met (machine learning runtimes) are under 4 GiB.
pub const BYTES: u64 = 4 << 30;
/// Uncompressed to compressed: text reaches 20, deflate ends at 1032, zstd knows no end.
pub const RATIO: u64 = 200;
/// Below this many bytes the ratio is not looked at: a small layer of zeros harms nobody.
pub const RATIO_FLOOR: u64 = 64 << 20;
/// Bytes of a path or of a link's target: the kernel's `PATH_MAX` without its NUL.
pub const PATH: usize = 4095;
/// Bytes of one name: `NAME_MAX` of every file system a layer is unpacked on.
pub const NAME: usize = 255;
/// Folders above one another in a name: `node_modules` nests about 40 deep.
pub const DEPTH: usize = 128;
/// Hard links in a layer: ext4 gives one file no more than this many names.
pub const HARD_LINKS: u64 = 65_000;
/// Bytes of one entry's extended attributes, names and values: the kernel's `XATTR_SIZE_MAX` for one value.
pub const XATTRS: usize = 64 << 10;
/// Bytes of one PAX or GNU extension record, held in memory: two paths, the attributes, and room.
pub const EXTENSION: u64 = 128 << 10;

/// The limits [`unpack`](crate::unpack) keeps; the default of each is the constant of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Bytes of the uncompressed archive, headers included.
    pub bytes: u64,
    /// Uncompressed bytes for each compressed one, once above [`RATIO_FLOOR`].
    pub ratio: u64,
    /// Bytes of a path or of a link's target.
    pub path: usize,
    /// Names in a path.
    pub depth: usize,
    /// Hard links in the layer.
    pub hard_links: u64,
    /// Bytes of one entry's extended attributes.
    pub xattrs: usize,
    /// Bytes of one extension record.
    pub extension: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            entries: ENTRIES,
            bytes: BYTES,
            ratio: RATIO,
            path: PATH,
            depth: DEPTH,
            hard_links: HARD_LINKS,
            xattrs: XATTRS,
            extension: EXTENSION,
        }
    }
}
