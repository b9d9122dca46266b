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
        if says(NAME) || says(SECOND) && is_on_card(&path, nodes) {
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
}
