//! Where cargo works: a copy of the sources, the dependencies and cargo's own folder, kept warm between runs.
//!
//! Cargo decides by times whether a file has changed, and two checkouts of different age would fool it. So it never
//! sees a checkout, but a copy at a fixed place in which a file is written anew exactly when its content differs. What
//! is compiled is then also what was hashed, whatever somebody edits meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use board_forge::{Bind, Cache, DebianRoot, Inputs, hold, run};

/// What the programs are made of, and what therefore decides whether they have to be made anew.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "edged", "mec-api"];
/// What cargo wants to see of a workspace besides, and what unit tests read.
const BESIDE: [&str; 5] = ["board", "tests", "openapi", "cross", "docs"];
/// Folders that are never part of the sources.
const LEFT_OUT: [&str; 3] = ["target", "__pycache__", "node_modules"];

/// The one workshop of a cache. Held by one process at a time, as long as this lives.
#[derive(Debug)]
pub(crate) struct Workshop {
    folder: PathBuf,
    checkout: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Waits for whoever works in it, and brings the sources up to date.
    pub fn open(cache: &Cache) -> anyhow::Result<Self> {
        let folder = cache.workshop("cross")?;
        let lock = hold(&folder.join("lock"), "sources")?;
        let shop = Self {
            checkout: checkout(),
            folder,
            _lock: lock,
        };
        for part in SOURCES.iter().chain(&BESIDE) {
            let (from, to) = (shop.checkout.join(part), shop.source(part));
            follow(&from, &to)
                .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        }
        Ok(shop)
    }

    /// A part of the sources, as it is compiled.
    pub fn source(&self, part: &str) -> PathBuf {
        self.folder.join("src").join(part)
    }

    /// The sources and the configuration, as they are compiled.
    pub fn inputs(&self) -> anyhow::Result<Inputs> {
        let mut inputs =
            Inputs::new().file("cross/cargo.toml", &self.source("cross/cargo.toml"))?;
        for part in SOURCES {
            let path = self.source(part);
            inputs = if path.is_dir() {
                inputs.folder(part, &path)?
            } else {
                inputs.file(part, &path)?
            };
        }
        Ok(inputs)
    }

    /// Fetches the dependencies with the machine's own cargo: its network, its mirrors, its certificates. Cargo checks
    /// each against Cargo.lock, and once more when it compiles it.
    pub fn vendor(&self) -> anyhow::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo)
            .current_dir(self.folder.join("src"))
            .args(["vendor", "--locked", "--versioned-dirs", "--quiet"])
            .arg(self.folder.join("vendor")))
        .context("the dependencies in Cargo.lock cannot be fetched")
    }

    /// A program of the root that sees the sources at /src, to be read alone, and cargo's folder.
    pub fn command(&self, root: &DebianRoot, program: &str) -> anyhow::Result<Command> {
        let target = self.folder.join("target");
        fs::create_dir_all(&target)?;
        let binds = [
            Bind::read(self.folder.join("src"), "/src"),
            Bind::read(self.folder.join("vendor"), "/work/vendor"),
            Bind::write(target, "/work/target"),
        ];
        root.command("/src", &binds, program)
    }

    /// The root's cargo. Its own folder lasts as long as the command: there is nothing in it to keep.
    pub fn cargo(&self, root: &DebianRoot) -> anyhow::Result<Command> {
        let mut command = self.command(root, "cargo")?;
        command.env("CARGO_HOME", "/tmp/cargo");
        Ok(command)
    }

    /// Cargo's target folder.
    pub fn target_root(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Where cargo puts the programs of a profile.
    pub fn target(&self, name: &str) -> PathBuf {
        self.target_root()
            .join("aarch64-unknown-linux-gnu")
            .join(name)
    }
}

/// The folder of the whole repository.
pub(crate) fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Makes `to` what `from` is. A file that is the same already keeps its time.
fn follow(from: &Path, to: &Path) -> io::Result<()> {
    let meta = match fs::metadata(from) {
        // An editor's file that lived for a moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return remove(to),
        meta => meta?,
    };
    if !meta.is_dir() {
        let content = fs::read(from)?;
        if fs::read(to).is_ok_and(|there| there == content) {
            return Ok(());
        }
        remove(to)?;
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        return fs::write(to, content);
    }
    if !to.is_dir() {
        remove(to)?;
        fs::create_dir_all(to)?;
    }
    let wanted = names(from)?;
    for name in names(to)?.difference(&wanted) {
        remove(&to.join(name))?;
    }
    for name in &wanted {
        follow(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left| name == **left) {
            names.insert(name);
        }
    }
    Ok(names)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn aged(path: &Path, text: &str, age: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[test]
    fn a_file_of_an_older_checkout_that_differs_is_newer_in_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, copy) = (
            folder.path().join("one"),
            folder.path().join("two"),
            folder.path().join("copy"),
        );
        aged(&one.join("src/same.rs"), "same", 10);
        aged(&one.join("src/other.rs"), "new", 10);
        aged(&two.join("src/same.rs"), "same", 900);
        aged(&two.join("src/other.rs"), "old", 900);
        let time = |name: &str| fs::metadata(copy.join(name)).unwrap().modified().unwrap();
        follow(&one, &copy).unwrap();
        let (same, other) = (time("src/same.rs"), time("src/other.rs"));
        follow(&two, &copy).unwrap();
        assert_eq!(time("src/same.rs"), same);
        assert!(time("src/other.rs") >= other);
        assert_eq!(
            fs::read_to_string(copy.join("src/other.rs")).unwrap(),
            "old"
        );
    }

    #[test]
    fn what_is_gone_from_the_sources_is_gone_from_the_copy_and_targets_never_get_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        aged(&from.join("a/gone.rs"), "", 1);
        aged(&from.join("a/stays.rs"), "", 1);
        aged(&from.join("a/target/big"), "", 1);
        follow(&from, &to).unwrap();
        assert!(to.join("a/gone.rs").exists() && !to.join("a/target").exists());
        fs::remove_file(from.join("a/gone.rs")).unwrap();
        follow(&from, &to).unwrap();
        assert!(to.join("a/stays.rs").exists() && !to.join("a/gone.rs").exists());
        fs::remove_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a"), "now a file").unwrap();
        follow(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a")).unwrap(), "now a file");
    }
}
