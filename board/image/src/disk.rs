//! The disk: a partition table with fixed names, a boot partition with room for two images, and a partition for data.
//!
//! Nothing here needs root, a loop device or a mount: the table is written by hand, the FAT by mtools.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};
use board_forge::{Bind, DebianRoot, run};
use edged_slot::{DiskFile, Slot, Slots, lay, next};
use uuid::{Uuid, uuid};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Partitions begin at whole MiB, as partitioning tools do it.
const FIRST: u64 = MIB / SECTOR;
/// Room for one image: twice the aim of 64 MB for all of it, less a little, so that a later one has space to grow.
pub const SLOT: u64 = 96 * MIB;
/// Two images, and 8 MiB for the FAT itself, EFI variables and what a stopped update left.
const BOOT: u64 = 2 * SLOT + 8 * MIB;
/// Applications and their images. The file is sparse: what is not written takes no space.
pub const DATA: u64 = 4096 * MIB;

/// The types of partitions (UEFI and the Discoverable Partitions Specification), and the names of ours. The names are
/// the same in every image: two builds are the same bits, and the boot entries can name the partition.
const ESP_TYPE: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const LUKS_TYPE: Uuid = uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc");
const DISK: Uuid = uuid!("756d6563-0000-4000-8000-000000000000");
const ESP: Uuid = uuid!("756d6563-0000-4000-8000-000000000001");
const DATA_PARTITION: Uuid = uuid!("756d6563-0000-4000-8000-000000000002");
/// By this name the box finds its data.
const DATA_NAME: &str = "umec-data";
/// The FAT's number, which mformat would else take from the clock.
pub const VOLUME: &str = "554d4543";

/// Numbers of a GPT (UEFI, 5.3).
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
const HEADER: usize = 92;
const TABLE_SECTORS: u64 = 32;

/// The images on the boot partition, as mtools names them.
pub const IMAGES: [&str; 2] = ["EFI/umec/a.efi", "EFI/umec/b.efi"];
/// Where U-Boot keeps which image starts next.
pub const VARIABLES: &str = "ubootefi.var";

/// A partition of the table.
struct Partition {
    kind: Uuid,
    id: Uuid,
    first: u64,
    count: u64,
    name: &'static str,
}

/// The disk of a machine that reads a GPT.
pub struct Disk {
    sectors: u64,
    partitions: [Partition; 2],
}

impl Default for Disk {
    fn default() -> Self {
        Self::with_data(DATA)
    }
}

impl Disk {
    /// With so many bytes for data, whole MiB.
    pub fn with_data(data: u64) -> Self {
        let (boot, data) = (BOOT / SECTOR, data / SECTOR);
        let after = FIRST + boot;
        Self {
            // As much behind the last partition as before the first: the second table is there.
            sectors: after + data + FIRST,
            partitions: [
                Partition {
                    kind: ESP_TYPE,
                    id: ESP,
                    first: FIRST,
                    count: boot,
                    name: "umec-boot",
                },
                Partition {
                    kind: LUKS_TYPE,
                    id: DATA_PARTITION,
                    first: after,
                    count: data,
                    name: DATA_NAME,
                },
            ],
        }
    }

    /// What U-Boot measures of the table: its header, the number of partitions, and their entries.
    pub fn measured(&self) -> Vec<u8> {
        let entries = self.entries();
        let mut out = self.header(&entries, 1);
        let used = self.partitions.len();
        out.extend(u64::try_from(used).unwrap_or_default().to_le_bytes());
        out.extend(entries.get(..used * ENTRY).unwrap_or_default());
        out
    }

    fn entries(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for partition in &self.partitions {
            let start = out.len();
            out.extend(partition.kind.to_bytes_le());
            out.extend(partition.id.to_bytes_le());
            out.extend(partition.first.to_le_bytes());
            out.extend((partition.first + partition.count - 1).to_le_bytes());
            out.extend(0u64.to_le_bytes());
            out.extend(partition.name.encode_utf16().flat_map(u16::to_le_bytes));
            out.resize(start + ENTRY, 0);
        }
        out.resize(ENTRIES * ENTRY, 0);
        out
    }

    /// The header that stands in sector `here`: the first in sector 1, the other in the last one.
    fn header(&self, entries: &[u8], here: u64) -> Vec<u8> {
        let last = self.sectors - 1;
        let (other, table) = if here == 1 {
            (last, 2)
        } else {
            (1, last - TABLE_SECTORS)
        };
        let half = |value: u32| value.to_le_bytes();
        let word = |value: u64| value.to_le_bytes();
        let head = [b"EFI PART".as_slice(), &half(0x0001_0000), &half(92)].concat();
        let rest = [
            half(0).as_slice(),
            &word(here),
            &word(other),
            &word(2 + TABLE_SECTORS),
            &word(last - TABLE_SECTORS - 1),
            &DISK.to_bytes_le(),
            &word(table),
            &half(128),
            &half(128),
            &half(crc32fast::hash(entries)),
        ]
        .concat();
        // The header's own checksum is over the header with that checksum as zero.
        let sum = crc32fast::hash(&[head.as_slice(), &half(0), &rest].concat());
        let header = [head.as_slice(), &half(sum), &rest].concat();
        debug_assert_eq!(header.len(), HEADER);
        header
    }

    /// Writes the disk with the image in both slots.
    ///
    /// # Errors
    /// The image is too large for its slot, or mtools'.
    pub fn write(&self, tools: &DebianRoot, to: &Path, uki: &[u8]) -> anyhow::Result<()> {
        let disk = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
        disk.set_len(self.sectors * SECTOR)?;
        self.write_tables(&disk)?;
        drop(disk);
        let [boot, _] = &self.partitions;
        boot_partition(tools, to, boot.first, boot.count, uki)
    }

    fn write_tables(&self, disk: &File) -> anyhow::Result<()> {
        let (entries, last) = (self.entries(), self.sectors - 1);
        disk.write_all_at(&protective_mbr(self.sectors), 0)?;
        for (here, table) in [(1, 2), (last, last - TABLE_SECTORS)] {
            disk.write_all_at(&self.header(&entries, here), here * SECTOR)?;
            disk.write_all_at(&entries, table * SECTOR)?;
        }
        Ok(())
    }
}

/// An MBR whose one partition covers the whole disk (UEFI, 5.2.3).
fn protective_mbr(sectors: u64) -> Vec<u8> {
    let count = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    mbr([0; 4], &[(0xee, 1, count)])
}

/// An MBR: the disk's number, and type, first sector and count of up to four partitions.
pub fn mbr(disk: [u8; 4], partitions: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut out = vec![0; 440];
    out.extend(disk);
    out.extend([0; 2]);
    for (kind, first, count) in partitions {
        // Cylinders, heads and sectors: the values that say "too large to say so".
        out.extend([0, 0, 2, 0, *kind, 0xff, 0xff, 0xff]);
        out.extend(first.to_le_bytes());
        out.extend(count.to_le_bytes());
    }
    out.resize(510, 0);
    out.extend([0x55, 0xaa]);
    out
}

/// Makes the boot partition: the image in both slots, each with clusters of its own for as much as a slot takes, and
/// nothing said of what starts next.
///
/// # Errors
/// The image is too large for its slot, or mtools'.
pub fn boot_partition(
    tools: &DebianRoot,
    disk: &Path,
    first: u64,
    count: u64,
    uki: &[u8],
) -> anyhow::Result<()> {
    let size = u64::try_from(uki.len())?;
    if size > SLOT {
        bail!("the image has {size} bytes and its slot {SLOT}; leave something out");
    }
    let next = next::file(None);
    let [a, b] = IMAGES;
    let files = [(VARIABLES, next.as_slice()), (a, &[]), (b, &[])];
    fat(tools, disk, first, count, "UMEC-BOOT", &files)?;
    let partition = DiskFile::open(disk, first * SECTOR)?;
    lay::out(&partition, SLOT, u32::try_from(size)?)?;
    let mut slots = Slots::open(&partition)?;
    for slot in [Slot::A, Slot::B] {
        slots.put(slot, size, &mut &*uki)?;
    }
    Ok(())
}

/// Makes a FAT32 in a part of a disk and puts files into it, by path.
///
/// # Errors
/// mtools'.
pub fn fat(
    tools: &DebianRoot,
    disk: &Path,
    first: u64,
    count: u64,
    label: &str,
    files: &[(&str, &[u8])],
) -> anyhow::Result<()> {
    let aside = tempfile::tempdir()?;
    let mut folders: Vec<&str> = Vec::new();
    for (index, (path, bytes)) in files.iter().enumerate() {
        fs::write(aside.path().join(index.to_string()), bytes)?;
        let parents = path
            .match_indices('/')
            .filter_map(|(end, _)| path.get(..end));
        folders.extend(parents);
    }
    folders.sort_unstable();
    folders.dedup();
    let (from, name) = (
        disk.parent().context("a disk is a file in a folder")?,
        disk.file_name().context("a disk is a file in a folder")?,
    );
    let image = format!("/work/disk/{}@@{}", name.to_string_lossy(), first * SECTOR);
    let binds = [
        Bind::write(from, "/work/disk"),
        Bind::read(aside.path(), "/work/files"),
    ];
    // mtools takes the times from SOURCE_DATE_EPOCH, which every command in the root has.
    let mtools = |program: &str| tools.command("/work", &binds, program);
    run(mtools("mformat")?
        .args(["-i", &image, "-F", "-v", label, "-N", VOLUME, "-T"])
        .args([&count.to_string(), "::"]))?;
    for folder in folders {
        run(mtools("mmd")?
            .args(["-i", &image])
            .arg(format!("::/{folder}")))?;
    }
    for (index, (path, _)) in files.iter().enumerate() {
        run(mtools("mcopy")?
            .args(["-i", &image])
            .arg(format!("/work/files/{index}"))
            .arg(format!("::/{path}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_checks_itself_and_the_entries() {
        let disk = Disk::default();
        let entries = disk.entries();
        for here in [1, disk.sectors - 1] {
            let mut header = disk.header(&entries, here);
            assert_eq!(header.len(), HEADER);
            let sum: [u8; 4] = header[16..20].try_into().unwrap();
            header[16..20].fill(0);
            assert_eq!(sum, crc32fast::hash(&header).to_le_bytes());
            assert_eq!(header[88..92], crc32fast::hash(&entries).to_le_bytes());
        }
    }

    #[test]
    fn two_images_of_full_size_fit_on_the_boot_partition() {
        let disk = Disk::default();
        let [boot, data] = &disk.partitions;
        assert!(boot.count * SECTOR > 2 * SLOT);
        assert_eq!(boot.first + boot.count, data.first);
        assert!(data.first + data.count + TABLE_SECTORS < disk.sectors);
    }

    #[test]
    fn only_the_used_entries_are_measured() {
        let measured = Disk::default().measured();
        assert_eq!(measured.len(), HEADER + 8 + 2 * ENTRY);
        assert_eq!(measured[HEADER..HEADER + 8], 2u64.to_le_bytes());
    }

    #[test]
    fn an_mbr_ends_with_its_signature() {
        let mbr = mbr(*b"umec", &[(0x0c, 2048, 65536), (0xef, 67584, 65536)]);
        assert_eq!(mbr.len(), 512);
        assert_eq!((mbr[446 + 4], mbr[462 + 4]), (0x0c, 0xef));
        assert_eq!(mbr[510..], [0x55, 0xaa]);
    }
}
