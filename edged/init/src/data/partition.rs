//! Finds the partition by the name in the partition table.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Its name in the GPT.
const NAME: &str = "umec-data";
/// A Raspberry Pi's card has an MBR, which gives partitions no names: ours has this number, and the data is its third
/// partition (board/image writes it so).
const CARD: [u8; 4] = *b"umec";
const THIRD: &str = "PARTN=3";
/// Where the number stands.
const NUMBER: u64 = 440;
/// A card reader may show up after PID 1: 10 s is more than any was seen to take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks: devices are announced through udev or not at all, and there is no udev.
const PACE: Duration = Duration::from_millis(20);
/// What the kernel calls a controller's first hub, which every device on USB is below: `usb1`.
const HUB: &str = "usb";
/// The kernel's folders of block devices and of their nodes.
const BLOCK: &str = "/sys/class/block";
const NODES: &str = "/dev";

/// The device node.
pub fn find() -> Result<PathBuf, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ours(Path::new(BLOCK), Path::new(NODES))?.as_slice() {
            [one] => return Ok(Path::new(NODES).join(one)),
            [] if Instant::now() < deadline => std::thread::sleep(PACE),
            [] => return Err(format!("there is no partition named {NAME}")),
            more => {
                return Err(format!(
                    "partitions {} are all {NAME}: leave one",
                    more.join(", ")
                ));
            }
        }
    }
}

fn ours(block: &Path, nodes: &Path) -> Result<Vec<String>, String> {
    let entries =
        fs::read_dir(block).map_err(|error| format!("cannot read {}: {error}", block.display()))?;
    let wanted = format!("PARTNAME={NAME}");
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let text = fs::read_to_string(path.join("uevent")).unwrap_or_default();
            let says = |word: &str| text.lines().any(|line| line == word);
            let ours = says(&wanted) || says(THIRD) && is_on_card(path, nodes);
            ours && !is_on_usb(path)
        })
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect())
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
        let mut number = [0; CARD.len()];
        disk.read_exact_at(&mut number, NUMBER).ok()?;
        Some(number)
    };
    number() == Some(CARD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_found_by_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        for (device, name) in [
            ("vda1", "ESP"),
            ("vda2", "umec-data"),
            ("vda3", "umec-data-old"),
        ] {
            fs::create_dir(folder.path().join(device)).unwrap();
            fs::write(
                folder.path().join(device).join("uevent"),
                format!("DEVNAME={device}\nPARTNAME={name}\n"),
            )
            .unwrap();
        }
        assert_eq!(ours(folder.path(), folder.path()).unwrap(), ["vda2"]);
    }

    #[test]
    fn a_stick_that_calls_itself_the_data_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let block = folder.path().join("block");
        fs::create_dir(&block).unwrap();
        for place in [
            "virtio0/block/vda/vda2",
            "pci0000:00/usb1/1-1/host0/block/sda/sda1",
        ] {
            let device = folder.path().join(place);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("uevent"), "PARTNAME=umec-data\n").unwrap();
            let name = device.file_name().unwrap();
            std::os::unix::fs::symlink(&device, block.join(name)).unwrap();
        }
        assert_eq!(ours(&block, folder.path()).unwrap(), ["vda2"]);
    }

    #[test]
    fn without_names_it_is_the_third_partition_of_a_card_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (block, nodes) = (folder.path().join("block"), folder.path().join("dev"));
        fs::create_dir_all(&block).unwrap();
        fs::create_dir_all(&nodes).unwrap();
        for (disk, number) in [("mmcblk0", b"umec"), ("sda", b"else")] {
            let mut table = vec![0; 512];
            table[440..444].copy_from_slice(number);
            fs::write(nodes.join(disk), table).unwrap();
            for part in [2, 3] {
                let name = format!("{disk}p{part}");
                let device = folder.path().join("devices").join(disk).join(&name);
                fs::create_dir_all(&device).unwrap();
                fs::write(device.join("uevent"), format!("PARTN={part}\n")).unwrap();
                std::os::unix::fs::symlink(device, block.join(name)).unwrap();
            }
        }
        assert_eq!(ours(&block, &nodes).unwrap(), ["mmcblk0p3"]);
    }
}
