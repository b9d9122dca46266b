//! Room on the disk for one more index, taken while there is some: on a full disk no image could be removed otherwise, as
//! the index without it has to be written before its content goes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{FILE_MODE, sync_folder};
use crate::ImageError;

const NAME: &str = "index.json.spare";
/// Bytes that are taken at least: the index of some forty images, so that the room is seldom taken anew.
const LEAST: usize = 16 << 10;

/// The file that keeps the room, in the store's folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spare<'a>(pub(super) &'a Path);

impl Spare<'_> {
    /// Takes room for an index of so many bytes, where there is not as much yet. Zeros that are written and synced have
    /// their blocks, on every file system.
    pub(super) fn keep(self, bytes: usize) -> Result<(), ImageError> {
        let path = self.0.join(NAME);
        let there = fs::metadata(&path).map_or(0, |found| found.len());
        if usize::try_from(there).is_ok_and(|there| there >= bytes.max(LEAST)) {
            return Ok(());
        }
        // Twice as much, so that the next few images find it there.
        let zeros = vec![0; bytes.max(LEAST).saturating_mul(2)];
        let taken = File::create(&path).and_then(|mut file| {
            file.write_all(&zeros)?;
            file.sync_all()
        });
        taken.map_err(|error| {
            let _ = fs::remove_file(&path);
            ImageError::file("take room for", &path)(error)
        })
    }

    /// Replaces a file of the folder by these bytes, in the room that was kept. They are not more than was asked for:
    /// the index of fewer images.
    pub(super) fn spend(self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let (spare, path) = (self.0.join(NAME), self.0.join(name));
        let next = self.0.join(format!("{name}.next"));
        fs::rename(&spare, &next).map_err(ImageError::file("use", &spare))?;
        // Written over, not cut off first: its blocks stay its own.
        let written = OpenOptions::new()
            .write(true)
            .open(&next)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.set_permissions(Permissions::from_mode(FILE_MODE))?;
                file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
                file.sync_all()
            });
        written.map_err(ImageError::file("write", &next))?;
        fs::rename(&next, &path).map_err(ImageError::file("replace", &path))?;
        sync_folder(self.0)?;
        // The room of the old index is free now. Where somebody was faster, the content that goes next makes more.
        let _ = self.keep(bytes.len());
        Ok(())
    }
}
