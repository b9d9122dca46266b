//! The device node of the boot partition.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Its name in a GPT (`board/image`, `Disk`).
const NAME: &str = "PARTNAME=umec-boot";
/// In an MBR there are no names: the second partition of a disk with our number (`board/image`, `Card`).
const SECOND: &str = "PARTN=2";
const NUMBER: &[u8; 4] = b"umec";
const NUMBER_AT: u64 = 440;
/// What the kernel calls a controller's first hub, which every device on USB is below: `usb1`.
const HUB: &str = "usb";
/// The kernel's folders of block devices and of their nodes.
const BLOCK: &str = "/sys/class/block";
const NODES: &str = "/dev";

/// Looks for it.
///
/// # Errors
/// There is none, or more than one.
pub fn boot_partition() -> io::Result<PathBuf> {
    one(Path::new(BLOCK), Path::new(NODES))
}

fn one(block: &Path, nodes: &Path) -> io::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(block)? {
        let path = entry?.path();
        let text = fs::read_to_string(path.join("uevent")).unwrap_or_default();
        let says = |word: &str| text.lines().any(|line| line == word);
        let ours = says(NAME) || says(SECOND) && is_on_card(&path, nodes);
        if ours && !is_on_usb(&path) {
            found.extend(path.file_name().map(|name| nodes.join(name)));
        }
    }
    match found.as_slice() {
        [node] => Ok(node.clone()),
        [] => Err(io::Error::other("there is no boot partition of ours")),
        _ => Err(io::Error::other(
            "there are several boot partitions of ours: leave one disk",
        )),
    }
}

/// Whether a device is plugged into USB: what lies on a stick may call itself what it likes, and is not the box's own disk.
fn is_on_usb(device: &Path) -> bool {
    fs::canonicalize(device).is_ok_and(|place| {
        place.iter().any(|part| {
            let number = part.to_str().and_then(|part| part.strip_prefix(HUB));
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
    })
}

/// Whether a partition is on a disk with our number. The disk's folder is the one that the partition's is in.
fn is_on_card(partition: &Path, nodes: &Path) -> bool {
    let number = || {
        let folder = fs::canonicalize(partition).ok()?;
        let disk = File::open(nodes.join(folder.parent()?.file_name()?)).ok()?;
        let mut number = [0; NUMBER.len()];
        disk.read_exact_at(&mut number, NUMBER_AT).ok()?;
        Some(number)
    };
    number().as_ref() == Some(NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_partition_is_found_by_its_name_and_must_be_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let device = |name: &str, label: &str| {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(
                folder.path().join(name).join("uevent"),
                format!("PARTNAME={label}\n"),
            )
            .unwrap();
        };
        assert!(one(folder.path(), Path::new("/dev")).is_err());
        device("vda1", "umec-boot");
        device("vda2", "umec-data");
        assert_eq!(
            one(folder.path(), Path::new("/dev")).unwrap(),
            Path::new("/dev/vda1")
        );
        device("vdb1", "umec-boot");
        assert!(one(folder.path(), Path::new("/dev")).is_err());
    }

    #[test]
    fn a_stick_with_a_partition_of_that_name_is_not_the_boxs_own_disk() {
        let folder = tempfile::tempdir().unwrap();
        let block = folder.path().join("block");
        fs::create_dir(&block).unwrap();
        for place in [
            "virtio0/block/vda/vda1",
            "pci0000:00/usb1/1-1/host0/block/sda/sda1",
        ] {
            let device = folder.path().join(place);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("uevent"), "PARTNAME=umec-boot\n").unwrap();
            let name = device.file_name().unwrap();
            std::os::unix::fs::symlink(&device, block.join(name)).unwrap();
        }
        let found = one(&block, Path::new("/dev")).unwrap();
        assert_eq!(found, Path::new("/dev/vda1"));
    }
}
