//! Finds the partition by the name in the partition table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Its name in the GPT.
const NAME: &str = "umec-data";
/// A card reader may show up after PID 1: 10 s is more than any was seen to take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks: devices are announced through udev or not at all, and there is no udev.
const PACE: Duration = Duration::from_millis(20);
/// The kernel's folder of block devices.
const BLOCK: &str = "/sys/class/block";

/// The device node.
pub fn find() -> Result<PathBuf, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match named(Path::new(BLOCK))?.as_slice() {
            [one] => return Ok(Path::new("/dev").join(one)),
            [] if Instant::now() < deadline => std::thread::sleep(PACE),
            [] => return Err(format!("there is no partition named {NAME}")),
            more => {
                return Err(format!(
                    "partitions {} are all named {NAME}: leave one",
                    more.join(", ")
                ));
            }
        }
    }
}

fn named(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let wanted = format!("PARTNAME={NAME}");
    Ok(entries
        .flatten()
        .filter(|entry| {
            let text = fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
            text.lines().any(|line| line == wanted)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
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
        assert_eq!(named(folder.path()).unwrap(), ["vda2"]);
    }
}
