//! Sticks as others make them: mkfs.vfat and mcopy for FAT32; mkfs.exfat for exFAT, into which files are put here, as no
//! program does it without mounting, and which fsck.exfat has looked at.

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use edged_disk::Devices;
use edged_stick::find::{Found, bundle};
use edged_stick::{Content, StickError};

/// Runs a program; what it says is the failure's text.
pub fn run(program: &str, words: &[&str]) {
    let found = Path::new("/usr/sbin").join(program);
    let program = if found.exists() {
        found
    } else {
        program.into()
    };
    let output = Command::new(&program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(
        output.status.success(),
        "{} {words:?}: {}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Bytes that are not the same anywhere.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..length).map(|_| next().to_le_bytes()[1]).collect()
}

/// A FAT32 has at least 65,525 clusters: below, mtools takes it for one of its ancestors.
const CLUSTERS: u64 = 66_000;

/// A FAT32 with so many sectors in a cluster and these files, in this order.
pub fn fat32(path: &Path, cluster: u32, files: &[(&str, Vec<u8>)]) {
    empty(path, CLUSTERS * u64::from(cluster) / 2 + 1024);
    let name = path.to_str().unwrap();
    run("mkfs.vfat", &["-F", "32", "-s", &cluster.to_string(), name]);
    for (to, bytes) in files {
        put(path, to, bytes);
    }
}

/// Copies a file onto a FAT32.
pub fn put(path: &Path, to: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let (from, to) = (file.path().to_str().unwrap(), format!("::{to}"));
    run("mcopy", &["-i", path.to_str().unwrap(), "-o", from, &to]);
}

/// Forgets where the next free cluster is: looked for from the beginning, it is in the first gap.
pub fn forget_hint(path: &Path) {
    let image = fs::File::options().write(true).open(path).unwrap();
    image.write_all_at(&[0xff; 4], 512 + 492).unwrap();
}

pub fn empty(path: &Path, kilobytes: u64) {
    fs::File::create(path)
        .unwrap()
        .set_len(kilobytes << 10)
        .unwrap();
}

/// An exFAT with one file, whose clusters are neighbours or every second one.
pub fn exfat(path: &Path, name: &str, bytes: &[u8], contiguous: bool) {
    empty(path, 4 << 10);
    run("mkfs.exfat", &["-c", "4K", path.to_str().unwrap()]);
    let mut image = fs::read(path).unwrap();
    let number = |image: &[u8], at: usize| {
        usize::try_from(u32::from_le_bytes(image[at..at + 4].try_into().unwrap())).unwrap()
    };
    let sector = 1 << image[108];
    let cluster = sector << image[109];
    let (table, heap) = (number(&image, 80) * sector, number(&image, 88) * sector);
    let place = move |number: usize| heap + (number - 2) * cluster;
    let root = place(number(&image, 96));
    // The list of used clusters has an entry of its own.
    let entries = image[root..root + cluster].chunks(32);
    let bitmap = entries.clone().position(|entry| entry[0] == 0x81).unwrap();
    let end = entries.clone().position(|entry| entry[0] == 0).unwrap();
    let bitmap = place(number(&image, root + bitmap * 32 + 20));

    let step = if contiguous { 1 } else { 2 };
    let clusters: Vec<usize> = (0..bytes.len().div_ceil(cluster))
        .map(|piece| 100 + piece * step)
        .collect();
    for (at, (number, piece)) in clusters.iter().zip(bytes.chunks(cluster)).enumerate() {
        let to = place(*number);
        image[to..to + piece.len()].copy_from_slice(piece);
        let bit = number - 2;
        image[bitmap + bit / 8] |= 1 << (bit % 8);
        if !contiguous {
            let next = clusters
                .get(at + 1)
                .map_or(u32::MAX, |next| u32::try_from(*next).unwrap());
            let entry = table + number * 4;
            image[entry..entry + 4].copy_from_slice(&next.to_le_bytes());
        }
    }
    let set = set(name, bytes.len(), clusters[0], contiguous);
    let to = root + end * 32;
    image[to..to + set.len()].copy_from_slice(&set);
    fs::write(path, image).unwrap();
    run("fsck.exfat", &["-n", path.to_str().unwrap()]);
}

/// The entries of a file.
fn set(name: &str, size: usize, first: usize, contiguous: bool) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(15);
    let mut set = vec![0; 32 * (2 + parts)];
    set[0] = 0x85;
    set[1] = u8::try_from(1 + parts).unwrap();
    set[4] = 0x20;
    // Made and changed on 2026-01-01.
    for at in [8, 12, 16] {
        set[at..at + 4].copy_from_slice(&0x5c21_0000_u32.to_le_bytes());
    }
    set[32] = 0xc0;
    set[33] = if contiguous { 3 } else { 1 };
    set[35] = u8::try_from(units.len()).unwrap();
    let upper: Vec<u16> = name.to_ascii_uppercase().encode_utf16().collect();
    let bytes = upper.iter().flat_map(|unit| unit.to_le_bytes());
    let hash = bytes.fold(0_u16, |sum, byte| {
        sum.rotate_right(1).wrapping_add(u16::from(byte))
    });
    set[36..38].copy_from_slice(&hash.to_le_bytes());
    let length = u64::try_from(size).unwrap().to_le_bytes();
    set[40..48].copy_from_slice(&length);
    set[52..56].copy_from_slice(&u32::try_from(first).unwrap().to_le_bytes());
    set[56..64].copy_from_slice(&length);
    for (part, units) in units.chunks(15).enumerate() {
        let at = 64 + part * 32;
        set[at] = 0xc1;
        for (place, unit) in units.iter().enumerate() {
            set[at + 2 + place * 2..at + 4 + place * 2].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let counted = set
        .iter()
        .enumerate()
        .filter(|(at, _)| !matches!(at, 2 | 3));
    let sum = counted.fold(0_u16, |sum, (_, byte)| {
        sum.rotate_right(1).wrapping_add(u16::from(*byte))
    });
    set[2..4].copy_from_slice(&sum.to_le_bytes());
    set
}

/// A machine's disks, as the kernel shows them.
pub struct Machine(tempfile::TempDir);

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["block", "dev"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    /// Where the content of a disk on that bus is to be put.
    pub fn plug(&self, bus: &str, name: &str) -> PathBuf {
        let device = self.0.path().join("devices").join(bus).join(name);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("size"), "8192\n").unwrap();
        symlink(&device, self.0.path().join("block").join(name)).unwrap();
        self.0.path().join("dev").join(name)
    }

    pub fn stick(&self, name: &str) -> PathBuf {
        self.plug("pci0000:00/usb1/1-1/1-1:1.0/host0/block", name)
    }

    pub fn look(&self) -> Result<Found, StickError> {
        let folders = ["block", "dev"].map(|name| self.0.path().join(name));
        let [block, nodes] = &folders;
        bundle(&Devices { block, nodes })
    }

    /// The bundle's name and bytes.
    pub fn read(&self) -> (String, Vec<u8>) {
        let mut found = self.look().unwrap();
        let mut bytes = Vec::new();
        let mut content = Content::new(&mut found.volume, &found.file);
        std::io::Read::read_to_end(&mut content, &mut bytes).unwrap();
        (found.file.name, bytes)
    }

    pub fn refusal(&self) -> String {
        self.look().map(|found| found.file).unwrap_err().to_string()
    }
}
