//! A folder for one measure.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A folder that everybody can walk through and that goes with this value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one, named after the measure.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::beneath(&std::env::temp_dir(), name)
    }

    /// The same in memory, as /run is on a device.
    pub fn in_memory(name: &str) -> anyhow::Result<Self> {
        Self::beneath(Path::new("/dev/shm"), name)
    }

    fn beneath(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let path = parent.join(format!("board-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self { path })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("board: cannot remove {}: {error}", self.path.display());
        }
    }
}
