//! The box's own disk: its partitions, and which disks are only plugged in.
//!
//! A disk has a GPT with names, a Raspberry Pi's card an MBR with numbers; `board/image` writes both. What is on USB may
//! call itself what it likes and is never the box's own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The images.
pub const BOOT: Partition = Partition {
    name: "umec-boot",
    number: 2,
};
/// Everything that is kept.
pub const DATA: Partition = Partition {
    name: "umec-data",
    number: 3,
};

/// Number of a card of ours, and where in the MBR it stands (UEFI 2.10, table 5.1).
const CARD: [u8; 4] = *b"umec";
const CARD_AT: u64 = 440;
/// What the kernel calls a controller's first hub, which every device on USB is below: `usb1`.
const HUB: &str = "usb";

/// A partition of the box's own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// In a GPT.
    pub name: &'static str,
    /// On a card, where there are no names.
    number: u32,
}

/// Where the kernel shows block devices.
#[derive(Debug)]
pub struct Devices<'a> {
    /// A folder of each, with what the kernel says of it.
    pub block: &'a Path,
    /// Their nodes.
    pub nodes: &'a Path,
}

impl Devices<'static> {
    /// Of the machine this runs on.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self {
            block: Path::new("/sys/class/block"),
            nodes: Path::new("/dev"),
        }
    }
}

impl Devices<'_> {
    /// The nodes of all partitions that say they are this one. One is right; none may come yet, as a card reader does.
    ///
    /// # Errors
    /// The kernel's folder cannot be read.
    pub fn find(&self, partition: Partition) -> io::Result<Vec<PathBuf>> {
        let name = format!("PARTNAME={}", partition.name);
        let number = format!("PARTN={}", partition.number);
        let mut found = Vec::new();
        for entry in fs::read_dir(self.block)? {
            let device = entry?.path();
            let text = fs::read_to_string(device.join("uevent")).unwrap_or_default();
            let says = |word: &str| text.lines().any(|line| line == word);
            let ours = says(&name) || says(&number) && self.is_on_card(&device);
            if ours && !is_on_usb(&device) {
                found.extend(device.file_name().map(|name| self.nodes.join(name)));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Nodes of disks on USB and of their partitions. A reader without a card has a size of nothing.
    ///
    /// # Errors
    /// The kernel's folder cannot be read.
    pub fn plugged_in(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.block)? {
            let entry = entry?;
            let size = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
            if size.trim() != "0" && is_on_usb(&entry.path()) {
                found.push(self.nodes.join(entry.file_name()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Whether a partition is on a disk with our number. The disk's folder is the one that the partition's is in.
    fn is_on_card(&self, partition: &Path) -> bool {
        let number = || {
            let folder = fs::canonicalize(partition).ok()?;
            let disk = File::open(self.nodes.join(folder.parent()?.file_name()?)).ok()?;
            let mut number = [0; CARD.len()];
            disk.read_exact_at(&mut number, CARD_AT).ok()?;
            Some(number)
        };
        number() == Some(CARD)
    }
}

/// By the folder of a device, which is below that of its controller.
fn is_on_usb(device: &Path) -> bool {
    fs::canonicalize(device).is_ok_and(|place| {
        place.iter().any(|part| {
            let number = part.to_str().and_then(|part| part.strip_prefix(HUB));
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's folders, with a device at each place below its controller, and what it says of itself.
    struct Machine {
        block: PathBuf,
        nodes: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Machine {
        fn with(devices: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let [block, nodes] = ["block", "dev"].map(|name| folder.path().join(name));
            fs::create_dir(&block).unwrap();
            fs::create_dir(&nodes).unwrap();
            for (place, says) in devices {
                let device = folder.path().join(place);
                fs::create_dir_all(&device).unwrap();
                fs::write(device.join("uevent"), says).unwrap();
                fs::write(device.join("size"), "2048\n").unwrap();
                let link = block.join(device.file_name().unwrap());
                std::os::unix::fs::symlink(&device, link).unwrap();
            }
            Self {
                block,
                nodes,
                _folder: folder,
            }
        }

        fn disk(&self, name: &str, number: [u8; 4]) {
            let mut table = vec![0; 512];
            table[440..444].copy_from_slice(&number);
            fs::write(self.nodes.join(name), table).unwrap();
        }

        fn devices(&self) -> Devices<'_> {
            Devices {
                block: &self.block,
                nodes: &self.nodes,
            }
        }

        fn named(&self, partition: Partition) -> Vec<String> {
            self.names(&self.devices().find(partition).unwrap())
        }

        fn names(&self, nodes: &[PathBuf]) -> Vec<String> {
            let name = |node: &PathBuf| {
                node.strip_prefix(&self.nodes)
                    .unwrap()
                    .display()
                    .to_string()
            };
            nodes.iter().map(name).collect()
        }
    }

    const STICK: &str = "pci0000:00/usb1/1-1/host0/block/sda/sda1";

    #[test]
    fn a_partition_is_found_by_its_whole_name_and_every_one_of_that_name_is_told() {
        let machine = Machine::with(&[
            ("virtio0/vda1", "PARTNAME=umec-boot\n"),
            ("virtio0/vda2", "DEVNAME=vda2\nPARTNAME=umec-data\n"),
            ("virtio0/vda3", "PARTNAME=umec-data-old\n"),
            ("virtio1/vdb1", "PARTNAME=umec-boot\n"),
        ]);
        assert_eq!(machine.named(DATA), ["vda2"]);
        assert_eq!(machine.named(BOOT), ["vda1", "vdb1"]);
    }

    #[test]
    fn a_stick_that_calls_itself_a_partition_of_the_box_is_passed_over() {
        let machine = Machine::with(&[
            ("virtio0/block/vda/vda2", "PARTNAME=umec-data\n"),
            (STICK, "PARTNAME=umec-data\n"),
        ]);
        assert_eq!(machine.named(DATA), ["vda2"]);
    }

    #[test]
    fn without_names_it_is_a_partition_of_a_card_of_ours_by_its_number() {
        let parts = ["PARTN=2\n", "PARTN=3\n"];
        let machine = Machine::with(&[
            ("devices/mmcblk0/mmcblk0p2", parts[0]),
            ("devices/mmcblk0/mmcblk0p3", parts[1]),
            ("devices/sda/sda2", parts[0]),
            ("devices/sda/sda3", parts[1]),
        ]);
        machine.disk("mmcblk0", *b"umec");
        machine.disk("sda", *b"else");
        assert_eq!(machine.named(DATA), ["mmcblk0p3"]);
        assert_eq!(machine.named(BOOT), ["mmcblk0p2"]);
    }

    #[test]
    fn only_disks_on_usb_are_plugged_in_and_a_reader_without_a_card_is_none() {
        let machine = Machine::with(&[
            ("virtio0/block/vda/vda1", ""),
            (STICK, ""),
            ("pci0000:00/usb2/2-1/host1/block/sdb", ""),
        ]);
        fs::write(machine.block.join("sdb/size"), "0\n").unwrap();
        let plugged_in = machine.devices().plugged_in().unwrap();
        assert_eq!(machine.names(&plugged_in), ["sda1"]);
    }
}
