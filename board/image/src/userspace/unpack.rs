//! Packages opened, each into a folder of its own. Their maintainer scripts are never run, not even unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use board_forge::{Cache, Debs, Inputs, Made, run};

/// Opens all packages.
pub fn unpack(cache: &Cache, debs: &Debs) -> anyhow::Result<Made> {
    let inputs = Inputs::new().text("packages", debs.identity.as_str());
    cache.step("packages", &inputs, |out| {
        for package in &debs.packages {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(debs.folder.join(&package.file))
                .arg(out.join(&package.name)))?;
        }
        Ok(())
    })
}

/// Every file and link of all packages.
#[derive(Debug)]
pub struct Index {
    /// By its path, as in `usr/bin/umount`: the package and where it lies.
    files: BTreeMap<String, (String, PathBuf)>,
}

impl Index {
    /// Reads the folders.
    pub fn of(unpacked: &Made, debs: &Debs) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for package in &debs.packages {
            let top = unpacked.join(&package.name);
            walk(&top, &top, &mut |name, path| {
                files.insert(name, (package.name.clone(), path));
            })?;
        }
        Ok(Self { files })
    }

    /// The package and the place of a path.
    pub fn get(&self, path: &str) -> Option<(&str, &Path)> {
        let (package, place) = self.files.get(path)?;
        Some((package, place))
    }

    /// Everything below a folder.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files
            .range(folder.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(folder))
    }
}

/// Tells of every file and link below a folder, in no order.
pub fn walk(
    top: &Path,
    folder: &Path,
    tell: &mut impl FnMut(String, PathBuf),
) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(top, &path, tell)?;
        } else {
            let name = path.strip_prefix(top)?.to_string_lossy().into_owned();
            tell(name, path);
        }
    }
    Ok(())
}
