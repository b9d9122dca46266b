//! A parent for the cgroups of one measure.

use std::fs;
use std::path::Path;

/// A name in every hierarchy, made by whoever uses it; goes from all of them with this value.
#[derive(Debug)]
pub struct Cgroups(String);

impl Cgroups {
    /// A name of this process's own.
    pub fn new(measure: &str) -> Self {
        Self(format!("/edged-bench-{}-{measure}", std::process::id()))
    }

    /// The path within each hierarchy.
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            remove(&hierarchy.path().join(self.0.trim_start_matches('/')));
        }
    }
}

/// Children first. A cgroup that is busy stays to be seen.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
