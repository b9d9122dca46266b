//! Waits for the partition that everything kept is on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edged_disk::{DATA, Devices};

/// A card reader may show up after PID 1: 10 s is more than any was seen to take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks: devices are announced through udev or not at all, and there is no udev.
const PACE: Duration = Duration::from_millis(20);

/// The device node.
pub fn find() -> Result<PathBuf, String> {
    let deadline = Instant::now() + PATIENCE;
    let devices = Devices::of_this_machine();
    loop {
        let found = devices
            .find(DATA)
            .map_err(|error| format!("cannot read {}: {error}", devices.block.display()))?;
        match found.as_slice() {
            [one] => return Ok(one.clone()),
            [] if Instant::now() < deadline => std::thread::sleep(PACE),
            [] => return Err(format!("there is no partition named {}", DATA.name)),
            more => {
                let names: Vec<_> = more.iter().map(|node| node.display().to_string()).collect();
                return Err(format!(
                    "partitions {} are all {}: leave one",
                    names.join(", "),
                    DATA.name
                ));
            }
        }
    }
}
