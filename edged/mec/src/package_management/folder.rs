//! Where the files of packages are: one folder, every name of it made of a package's id.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use mec_api::Problem;

use super::record::PackageId;

/// Packages hold what a provider may not want everybody to read.
const FOLDER_MODE: u32 = 0o700;

/// The folder of packages.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The content of an on-boarded package, as it came.
    pub fn content(&self, id: &PackageId) -> PathBuf {
        self.file(id, "csar")
    }

    /// The same while it comes and is checked.
    pub fn part(&self, id: &PackageId) -> PathBuf {
        self.file(id, "part")
    }

    /// Its image, for the time it is brought in.
    pub fn image(&self, id: &PackageId) -> PathBuf {
        self.file(id, "image")
    }

    /// Its descriptor, as TOSCA has it.
    pub fn descriptor(&self, id: &PackageId) -> PathBuf {
        self.file(id, "yaml")
    }

    /// The descriptor and its imports in a ZIP.
    pub fn definitions(&self, id: &PackageId) -> PathBuf {
        self.file(id, "zip")
    }

    fn file(&self, id: &PackageId, extension: &str) -> PathBuf {
        self.0.join(format!("{id}.{extension}"))
    }

    fn all(&self, id: &PackageId) -> [PathBuf; 5] {
        [
            self.content(id),
            self.part(id),
            self.image(id),
            self.descriptor(id),
            self.definitions(id),
        ]
    }

    fn lasting(&self, id: &PackageId) -> [PathBuf; 3] {
        [self.content(id), self.descriptor(id), self.definitions(id)]
    }

    /// Makes it, and removes whatever belongs to none of these on-boarded packages: a crash may have left it.
    pub fn prepare<'a>(&self, onboarded: impl Iterator<Item = &'a PackageId>) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&self.0)?;
        let kept: Vec<PathBuf> = onboarded.flat_map(|id| self.lasting(id)).collect();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if !kept.contains(&path) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Gives the content its lasting name. Durable.
    pub fn settle(&self, id: &PackageId) -> io::Result<()> {
        fs::rename(self.part(id), self.content(id))?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes every file of a package; those that are not there are no failure.
    pub fn clear(&self, id: &PackageId) {
        for path in self.all(id) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(%error, path = %path.display(), "a file of a package stays");
            }
        }
    }
}

/// The disk did not do it.
pub(super) fn disk(error: &io::Error) -> Problem {
    tracing::error!(%error, "a file of a package was not written or read");
    if error.kind() == io::ErrorKind::StorageFull {
        Problem::unavailable("the disk is full; delete packages or images and try again")
    } else {
        Problem::unavailable("the node's disk does not answer; try again later")
    }
}
