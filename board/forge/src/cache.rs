//! The folder that keeps what steps made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};

use crate::hold::hold;
use crate::inputs::{self, Digest, Inputs};
use crate::progress;

/// What every output was when it was made, beside the outputs.
const MANIFEST: &str = "outputs.json";

/// Results of steps, each under the hash of its inputs; outside the checkout.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What a step made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The folder with the outputs. Nobody writes into it.
    pub path: PathBuf,
    /// The hash of the inputs.
    pub key: Digest,
    /// True when it was there already.
    pub kept: bool,
}

impl Made {
    /// One of the outputs.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Cache {
    /// `$UMEC_CACHE`, or else `umec` in `$XDG_CACHE_HOME` or `~/.cache` (XDG base directory specification).
    ///
    /// # Errors
    /// There is no home folder, or the folder cannot be made.
    pub fn open() -> anyhow::Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = if let Some(folder) = variable("UMEC_CACHE") {
            PathBuf::from(folder)
        } else if let Some(folder) = variable("XDG_CACHE_HOME") {
            Path::new(&folder).join("umec")
        } else if let Some(home) = variable("HOME") {
            Path::new(&home).join(".cache").join("umec")
        } else {
            bail!("there is no home folder for the cache of builds; set UMEC_CACHE to a folder")
        };
        Self::at(&folder)
    }

    /// A cache in a folder of one's own choice.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the cache {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self { folder })
    }

    /// A folder below the cache for what a tool keeps warm by itself, such as a compiler's own incremental state. It is
    /// no result: nothing in it may be used without the tool's own check.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn workshop(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join("workshop").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Gives what `make` put into its folder, now or at an earlier time with the same inputs.
    ///
    /// A result is whole or not there: it is made aside and moved into place. Each output is checked against the
    /// digest that it had when it was made (once a process); a result that was changed since is thrown away and made
    /// anew. Another
    /// process that makes the same is waited for.
    ///
    /// # Errors
    /// What `make` says, or the cache cannot be written.
    pub fn step(
        &self,
        name: &str,
        inputs: &Inputs,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Made> {
        let key = inputs.key();
        let kind = self.folder.join(name);
        fs::create_dir_all(&kind).with_context(|| format!("cannot make {}", kind.display()))?;
        let path = kind.join(key.as_str());
        // Kept until this returns; the lock goes with the file.
        let _lock = hold(&kind.join(format!("{key}.lock")), name)?;
        if path.exists() {
            match check_once(&path) {
                Ok(()) => {
                    return Ok(Made {
                        path,
                        key,
                        kept: true,
                    });
                }
                Err(error) => {
                    eprintln!(
                        "board: {name} in the cache is not what was put there ({error}); it is made anew"
                    );
                    remove(&path)?;
                }
            }
        }
        let progress = progress::begin(name);
        let aside = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(&kind)?;
        make(aside.path()).with_context(|| format!("cannot make {name}"))?;
        seal(aside.path())?;
        let aside = aside.keep();
        fs::rename(&aside, &path)
            .with_context(|| format!("cannot move {} into place", aside.display()))?;
        // A root is entered by other users than its maker's.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        progress.made();
        checked().insert(path.clone());
        Ok(Made {
            path,
            key,
            kept: false,
        })
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
}

fn outputs(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(inputs::entries(folder)?
        .into_iter()
        .filter(|entry| entry.name != Path::new(MANIFEST))
        .map(|entry| (entry.name.to_string_lossy().into_owned(), entry.what))
        .collect())
}

fn seal(folder: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_vec(&outputs(folder)?)?;
    let mut file = File::create(folder.join(MANIFEST))?;
    file.write_all(&text)?;
    Ok(file.sync_all()?)
}

/// Results that this process has checked or made: a root of a gigabyte is hashed once a run, not once a use.
fn checked() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static CHECKED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    // A set of paths is whole whatever its last user did.
    CHECKED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_once(folder: &Path) -> anyhow::Result<()> {
    if !checked().contains(folder) {
        check(folder)?;
        checked().insert(folder.to_owned());
    }
    Ok(())
}

fn check(folder: &Path) -> anyhow::Result<()> {
    let text = fs::read(folder.join(MANIFEST)).context("its list of outputs cannot be read")?;
    let then: BTreeMap<String, String> = serde_json::from_slice(&text)?;
    let now = outputs(folder)?;
    let changed = then
        .iter()
        .find(|(name, what)| now.get(*name) != Some(what))
        .map(|(name, _)| name)
        .or_else(|| now.keys().find(|name| !then.contains_key(*name)));
    if let Some(name) = changed {
        bail!("{name} differs");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        (folder, cache)
    }

    fn write(text: &'static str) -> impl Fn(&Path) -> anyhow::Result<()> {
        move |folder| Ok(fs::write(folder.join("out"), text)?)
    }

    #[test]
    fn a_step_is_made_once_for_its_inputs() {
        let (_folder, cache) = cache();
        let inputs = Inputs::new().text("a", "1");
        let first = cache.step("step", &inputs, write("one")).unwrap();
        let second = cache.step("step", &inputs, write("two")).unwrap();
        assert!(!first.kept && second.kept);
        assert_eq!(fs::read_to_string(second.join("out")).unwrap(), "one");
        let other = Inputs::new().text("a", "2");
        let third = cache.step("step", &other, write("three")).unwrap();
        assert_eq!(fs::read_to_string(third.join("out")).unwrap(), "three");
    }

    #[test]
    fn what_was_changed_in_the_cache_is_made_anew() {
        let (_folder, cache) = cache();
        let inputs = Inputs::new();
        let made = cache.step("step", &inputs, write("one")).unwrap();
        // As another process finds it.
        checked().clear();
        fs::write(made.join("out"), "changed").unwrap();
        let again = cache.step("step", &inputs, write("one")).unwrap();
        assert!(!again.kept);
        fs::write(again.join("more"), "").unwrap();
        checked().clear();
        assert!(!cache.step("step", &inputs, write("one")).unwrap().kept);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let (folder, cache) = cache();
        let error = cache
            .step("step", &Inputs::new(), |out| {
                fs::write(out.join("half"), "")?;
                bail!("the disk is full")
            })
            .unwrap_err();
        assert!(format!("{error:#}").contains("the disk is full"));
        let left: Vec<_> = fs::read_dir(folder.path().join("step"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| !name.to_string_lossy().ends_with(".lock"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
