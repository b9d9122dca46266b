//! Python programs that tests run against a node: each set in an environment of its own below the target folder.
//!
//! Versions are pinned in `tests/NAME/requirements.txt`, every one of them, so that `--no-deps` is enough; pip's own
//! configuration on this machine says where they come from.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure as holds};

use crate::install::Consent;
use crate::{process, workspace};

/// The sets: folders of `tests/` with a `requirements.txt`.
const SETS: [&str; 2] = ["schemathesis", "mp1-client"];

fn folder(set: &str) -> PathBuf {
    workspace::target().join("python").join(set)
}

fn wanted(set: &str) -> anyhow::Result<(PathBuf, String)> {
    let path = workspace::root().join("tests").join(set);
    let path = path.join("requirements.txt");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((path, text))
}

/// Whether the environment holds what its requirements say now: it keeps a copy of those it was made from.
fn is_current(set: &str) -> bool {
    let made_from = fs::read_to_string(folder(set).join("requirements.txt"));
    made_from.is_ok_and(|text| wanted(set).is_ok_and(|(_, wanted)| wanted == text))
}

/// Sees to it that every set is there.
pub fn ensure(consent: Consent) -> anyhow::Result<()> {
    for set in SETS {
        if !is_current(set) {
            install(consent, set)?;
        }
    }
    Ok(())
}

fn install(consent: Consent, set: &str) -> anyhow::Result<()> {
    let (path, text) = wanted(set)?;
    let folder = folder(set);
    eprintln!("Python packages of {}:", path.display());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        eprintln!("  {line}");
    }
    if consent.no_install {
        bail!(
            "they are not in {}; run this without --no-install",
            folder.display()
        );
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    process::passed_through(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    process::passed_through(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--requirement"])
            .arg(&path),
    )?;
    process::passed_through(Command::new(folder.join("bin/pip")).arg("check"))?;
    // Last, so that what was broken off is made anew.
    let copy = folder.join("requirements.txt");
    fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))
}

/// A program of a set.
pub fn program(set: &str, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder(set).join("bin").join(name);
    holds!(
        is_current(set) && path.exists(),
        "{} is not installed as tests/{set}/requirements.txt says: run `cargo board test`",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_names_one_exact_version_of_each_package() {
        for set in SETS {
            let (_, text) = wanted(set).unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (name, version) = line.split_once("==").unwrap_or_default();
                assert!(
                    !name.is_empty()
                        && version
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || c == '.'),
                    "{set}: {line}"
                );
            }
        }
    }
}
