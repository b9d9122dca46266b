//! The one bundle on all sticks: the disks on USB, which the box's own disk is none of.

use std::fs::File;
use std::path::PathBuf;

use edged_disk::Devices;

use crate::error::StickError;
use crate::volume::{self, Volume};

/// A bundle and where it lies.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: volume::File,
    /// Where it is.
    pub volume: Volume<File>,
}

/// Looks for the one bundle on all sticks of a machine.
///
/// # Errors
/// There is none, or more than one.
pub fn bundle(devices: &Devices<'_>) -> Result<Found, StickError> {
    one(&devices.plugged_in().map_err(StickError::List)?)
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
