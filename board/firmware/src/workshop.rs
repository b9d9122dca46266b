//! A folder in which one program is built, in the tool root, and which is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_forge::{Bind, Cache, DebianRoot, Inputs, run, source};

use crate::source::Source;

/// The folder's name in the root: the same each time, so that no path of the machine gets into what is built.
pub(crate) const WORK: &str = "/work";
/// Patches of ours, in the root.
const PATCHES: &str = "/src/patches";

/// The folder of the repository, with `tf-a/`, `optee/` and `u-boot/`.
pub(crate) fn repository() -> PathBuf {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR"));
    firmware.ancestors().nth(2).unwrap_or(firmware).to_owned()
}

/// What a source gives to the inputs of a step: its hashes, and our patches.
pub(crate) fn inputs(
    root: &DebianRoot,
    sources: &[Source],
    patches: &[&str],
) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::new().root("root", root);
    for source in sources {
        for file in [Some(source.released), source.debian].into_iter().flatten() {
            inputs = inputs.text(file.pool, file.sha256);
        }
    }
    for folder in patches {
        inputs = inputs.folder(folder, &repository().join(folder))?;
    }
    Ok(inputs)
}

/// A folder to build in.
#[derive(Debug)]
pub(crate) struct Workshop<'a> {
    root: &'a DebianRoot,
    folder: tempfile::TempDir,
}

impl<'a> Workshop<'a> {
    /// An empty one, in the cache: sources are larger than a machine's `/tmp` may be.
    pub fn open(cache: &Cache, root: &'a DebianRoot) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(cache.workshop("firmware")?)?;
        Ok(Self { root, folder })
    }

    /// A file or folder in it, as the machine sees it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program in one of its folders.
    pub fn run(&self, folder: &str, program: &str, words: &[&str]) -> anyhow::Result<()> {
        self.run_with(folder, Vec::new(), program, words)
    }

    fn run_with(
        &self,
        folder: &str,
        mut binds: Vec<Bind>,
        program: &str,
        words: &[&str],
    ) -> anyhow::Result<()> {
        binds.push(Bind::write(self.folder.path(), WORK));
        let folder = format!("{WORK}/{folder}");
        run(self.root.command(&folder, &binds, program)?.args(words))
    }

    /// Runs make, below everything else that the machine does.
    pub fn make(&self, folder: &str, words: &[&str]) -> anyhow::Result<()> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = format!("-j{jobs}");
        let mut all = vec!["-n", "5", "make", "-s", &jobs];
        all.extend(words);
        self.run(folder, "nice", &all)
    }

    /// Unpacks a source with Debian's patches, then those in a folder of the repository.
    pub fn unpack(
        &self,
        cache: &Cache,
        from: &Source,
        patches: Option<&str>,
    ) -> anyhow::Result<()> {
        let debian = format!("{}.debian", from.folder);
        self.unpack_file(&source(cache, &from.released)?, from.folder)?;
        if let Some(file) = &from.debian {
            self.unpack_file(&source(cache, file)?, &debian)?;
            for name in series(&self.path(&debian).join("patches/series"))? {
                let patch = format!("{WORK}/{debian}/patches/{name}");
                self.patch(from.folder, Vec::new(), &patch)?;
            }
        }
        let Some(patches) = patches else {
            return Ok(());
        };
        let folder = repository().join(patches);
        let mut names = fs::read_dir(&folder)
            .with_context(|| format!("cannot read {patches}"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let binds = vec![Bind::read(&folder, PATCHES)];
            self.patch(from.folder, binds, &format!("{PATCHES}/{name}"))?;
        }
        Ok(())
    }

    fn unpack_file(&self, archive: &Path, folder: &str) -> anyhow::Result<()> {
        fs::create_dir_all(self.path(folder))?;
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("/src/{name}");
        self.run_with(
            folder,
            vec![Bind::read(archive, &place)],
            "tar",
            &[
                "--extract",
                "--no-same-owner",
                "--strip-components=1",
                "--file",
                &place,
            ],
        )
    }

    fn patch(&self, folder: &str, binds: Vec<Bind>, patch: &str) -> anyhow::Result<()> {
        let words = [
            "-p1",
            "--silent",
            "--forward",
            "--no-backup-if-mismatch",
            "-i",
            patch,
        ];
        self.run_with(folder, binds, "patch", &words)
            .with_context(|| format!("{patch} does not fit {folder}"))
    }

    /// Copies results out.
    pub fn keep(&self, from: &str, names: &[&str], out: &Path) -> anyhow::Result<()> {
        for name in names {
            let from = self.path(from).join(name);
            let to = out.join(from.file_name().unwrap_or_default());
            fs::copy(&from, &to)
                .with_context(|| format!("the build made no {}", from.display()))?;
        }
        Ok(())
    }
}

/// The names in a series of patches.
fn series(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("Debian's patches have no {}", path.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !name.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_names_and_remarks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series");
        fs::write(&path, "# first\na.patch\n\nb/c.patch -p1\n").unwrap();
        assert_eq!(series(&path).unwrap(), ["a.patch", "b/c.patch"]);
    }
}
