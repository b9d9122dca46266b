//! How much of a package is taken.

/// The bounds of a package; the default is for a box with 1 GiB of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the package as it came. ZIP without its 64-bit extension ends at 4 GiB.
    pub package: u64,
    /// Entries, folders included. An application has a descriptor, an image and some papers.
    pub entries: u64,
    /// Bytes of one file when unpacked: the largest images for such boxes are below 1 GiB.
    pub file: u64,
    /// Bytes of all files when unpacked.
    pub total: u64,
    /// How many times larger than packed a file may be. Images of mostly zeros reach about 100, deflate ends at 1032.
    pub ratio: u64,
    /// Bytes of a file that is held in memory: metadata, manifest, definitions, signatures, certificates.
    pub text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            package: 2 << 30,
            entries: 256,
            file: 2 << 30,
            total: 3 << 30,
            ratio: 200,
            text: 1 << 20,
        }
    }
}
