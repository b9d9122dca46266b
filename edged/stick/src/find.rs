//! The disks on USB: a stick is one, and the box's own disk is none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StickError;
use crate::volume::{self, Volume};

/// The kernel's folders of block devices and of their nodes.
const BLOCK: &str = "/sys/class/block";
const NODES: &str = "/dev";
/// What the kernel calls a controller's first hub, which every device on USB is below: `usb1`.
const HUB: &str = "usb";

/// A bundle and where it lies.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: volume::File,
    /// Where it is.
    pub volume: Volume<File>,
}

/// Looks for the one bundle on all sticks.
///
/// # Errors
/// There is none, or more than one.
pub fn bundle() -> Result<Found, StickError> {
    bundle_below(Path::new(BLOCK), Path::new(NODES))
}

/// The same where the kernel's folders are elsewhere.
///
/// # Errors
/// As [`bundle`].
pub fn bundle_below(block: &Path, nodes: &Path) -> Result<Found, StickError> {
    one(&disks(block, nodes).map_err(StickError::List)?)
}

/// Nodes of disks on USB and of their partitions. A reader without a card has a size of nothing.
fn disks(block: &Path, nodes: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(block)? {
        let entry = entry?;
        let size = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
        let place = fs::canonicalize(entry.path())?;
        if is_on_usb(&place) && size.trim() != "0" {
            found.push(nodes.join(entry.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

/// By the folder of a device.
fn is_on_usb(place: &Path) -> bool {
    place.iter().any(|part| {
        let number = part.to_str().and_then(|part| part.strip_prefix(HUB));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

fn one(disks: &[PathBuf]) -> Result<Found, StickError> {
    if disks.is_empty() {
        return Err(StickError::None);
    }
    let (mut known, mut found) = (false, Vec::new());
    for path in disks {
        let open = |source| StickError::Open {
            path: path.clone(),
            source,
        };
        let medium = File::open(path).map_err(open)?;
        // A partition of another system says so by its first sector.
        if let Some(mut volume) = Volume::open(medium).map_err(StickError::Read)? {
            known = true;
            for file in volume.bundles()? {
                found.push((path, file));
            }
        }
    }
    match found.as_slice() {
        [] if known => Err(StickError::NoBundle),
        [] => Err(StickError::Unknown),
        [(path, file)] => {
            let medium = File::open(path).map_err(StickError::Read)?;
            let volume = Volume::open(medium).map_err(StickError::Read)?;
            Ok(Found {
                file: file.clone(),
                volume: volume.ok_or(StickError::Unknown)?,
            })
        }
        several => Err(StickError::Several(told(several))),
    }
}

/// Most that are named: a sentence.
const NAMED: usize = 5;

fn told(several: &[(&PathBuf, volume::File)]) -> String {
    let names = several.iter().take(NAMED).map(|(path, file)| {
        let device = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{} on {device}", file.name)
    });
    names.collect::<Vec<_>>().join(", ")
}
