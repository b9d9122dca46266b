//! What goes into a step.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{DebianRoot, Made};

/// Bytes read at a time while hashing.
const BLOCK: usize = 1 << 20;
/// Changes when results made before must not be used again.
const GENERATION: u32 = 1;

/// A SHA-256 digest, shown in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// Of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// Of a file's content.
    pub fn of_file(path: &Path) -> anyhow::Result<Self> {
        let read = || -> io::Result<Self> {
            let mut file = File::open(path)?;
            let mut hasher = Sha256::new();
            let mut block = vec![0; BLOCK];
            loop {
                let size = file.read(&mut block)?;
                if size == 0 {
                    return Ok(Self(hex(&hasher.finalize())));
                }
                hasher.update(block.get(..size).unwrap_or_default());
            }
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }

    /// Of everything below a folder: names, kinds, whether a file may be run, content. Not owners, not times.
    pub fn of_folder(path: &Path) -> anyhow::Result<Self> {
        let mut hasher = Sha256::new();
        for entry in entries(path)? {
            hasher.update(entry.name.as_os_str().as_bytes());
            hasher.update([0]);
            hasher.update(entry.what.as_bytes());
            hasher.update([b'\n']);
        }
        Ok(Self(hex(&hasher.finalize())))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One thing below a folder.
pub(crate) struct Entry {
    /// Relative to the folder.
    pub name: PathBuf,
    /// Kind and content as one line.
    pub what: String,
}

/// Everything below a folder in the order of names.
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let path = folder.join(&relative);
        let meta = fs::symlink_metadata(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let kind = meta.file_type();
        let what = if kind.is_dir() {
            for entry in
                fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?
            {
                waiting.push(relative.join(entry?.file_name()));
            }
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(&path)?.display())
        } else if kind.is_file() {
            let run = if meta.mode() & 0o111 == 0 { "" } else { " x" };
            format!("file {}{run}", Digest::of_file(&path)?)
        } else {
            format!("special {:o} {}", meta.mode(), meta.rdev())
        };
        if !relative.as_os_str().is_empty() {
            found.push(Entry {
                name: relative,
                what,
            });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// What goes into a step, each under a name: the step is made anew when any of it changes.
#[derive(Debug, Clone, Default)]
pub struct Inputs(Vec<(String, String)>);

impl Inputs {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: String) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }

    /// A text: options, a version.
    #[must_use]
    pub fn text(self, name: &str, text: &str) -> Self {
        let digest = Digest::of(text.as_bytes());
        self.with(name, format!("text {digest}"))
    }

    /// A file's content.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(self, name: &str, path: &Path) -> anyhow::Result<Self> {
        let digest = Digest::of_file(path)?;
        Ok(self.with(name, format!("file {digest}")))
    }

    /// Everything below a folder.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub fn folder(self, name: &str, path: &Path) -> anyhow::Result<Self> {
        let digest = Digest::of_folder(path)?;
        Ok(self.with(name, format!("folder {digest}")))
    }

    /// What another step made.
    #[must_use]
    pub fn made(self, name: &str, made: &Made) -> Self {
        self.with(name, format!("made {}", made.key))
    }

    /// The Debian that the step's programs come from, down to the version of every package.
    #[must_use]
    pub fn root(self, name: &str, root: &DebianRoot) -> Self {
        self.with(name, format!("root {}", root.identity()))
    }

    /// The hash of all of it.
    pub fn key(&self) -> Digest {
        let mut lines: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}\t{value}\n"))
            .collect();
        lines.sort();
        Digest::of(format!("generation {GENERATION}\n{}", lines.concat()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_every_input_and_not_with_their_order() {
        let key = Inputs::new().text("a", "1").text("b", "2").key();
        assert_eq!(key, Inputs::new().text("b", "2").text("a", "1").key());
        assert_ne!(key, Inputs::new().text("a", "2").text("b", "1").key());
        assert_ne!(key, Inputs::new().text("a", "1").key());
    }

    #[test]
    fn a_folder_s_digest_sees_names_content_and_the_right_to_run() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let digest = || Digest::of_folder(folder.path()).unwrap();
        fs::write(&file, "1").unwrap();
        let first = digest();
        fs::write(&file, "2").unwrap();
        assert_ne!(first, digest());
        fs::write(&file, "1").unwrap();
        assert_eq!(first, digest());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(first, digest());
        fs::rename(&file, folder.path().join("b")).unwrap();
        assert_ne!(first, digest());
    }
}
