//! From what the list keeps to everything that must be there for it to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use board_forge::{Debs, Made};

use super::list::List;
use super::unpack::Index;
use super::{PROGRAMS, elf};

/// Where Debian's libraries lie: the architecture's folder, and systemd's own.
const LIBRARIES: [&str; 2] = [
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu/systemd",
];
/// Path in the tree, and the file or link of a package that goes there.
pub type Files = BTreeMap<String, (String, PathBuf)>;

/// Picks the files.
pub fn pick(list: &List, debs: &Debs, unpacked: &Made, programs: &Path) -> anyhow::Result<Files> {
    let index = Index::of(unpacked, debs)?;
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    for package in &list.package {
        for keep in &package.keep {
            let path = keep.trim_start_matches('/');
            let found: Vec<String> = if path.ends_with('/') {
                index.below(path).map(str::to_owned).collect()
            } else {
                index
                    .get(path)
                    .map(|_| path.to_owned())
                    .into_iter()
                    .collect()
            };
            if found.is_empty() {
                bail!(
                    "no package has {keep}, which packages.toml keeps of {}",
                    package.name
                );
            }
            let other = found.iter().find_map(|path| {
                let (owner, _) = index.get(path)?;
                (owner != package.name).then(|| owner.to_owned())
            });
            if let Some(other) = other {
                bail!(
                    "{keep} is of {other}, not of {}: correct packages.toml",
                    package.name
                );
            }
            waiting.extend(found);
        }
    }
    for (name, _) in PROGRAMS {
        waiting.extend(libraries(&index, name, &programs.join(name))?);
    }
    let mut picked = Files::new();
    while let Some(path) = waiting.pop_first() {
        let (package, place) = index
            .get(&path)
            .with_context(|| format!("no package has /{path}"))?;
        let more = leads_to(&index, &path, place)?;
        picked.insert(path, (package.to_owned(), place.to_owned()));
        waiting.extend(more.into_iter().filter(|path| !picked.contains_key(path)));
    }
    Ok(picked)
}

/// The target of a link, or the libraries of a program.
fn leads_to(index: &Index, path: &str, place: &Path) -> anyhow::Result<Vec<String>> {
    if place.is_symlink() {
        return Ok(vec![target(path, &fs::read_link(place)?)]);
    }
    libraries(index, path, place)
}

/// The libraries of a program; of another file none.
fn libraries(index: &Index, name: &str, place: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(place).with_context(|| format!("cannot read {}", place.display()))?;
    if !elf::is_elf(&bytes) {
        return Ok(Vec::new());
    }
    let needed = elf::needed(&bytes).with_context(|| format!("{name} is damaged"))?;
    needed
        .iter()
        .map(|library| {
            self::library(index, library)
                .with_context(|| format!("{name} needs {library}, which is in no package"))
        })
        .collect()
}

fn library(index: &Index, name: &str) -> Option<String> {
    LIBRARIES
        .iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| index.get(path).is_some())
}

/// Where a link at `path` points to, within the tree.
fn target(path: &str, link: &Path) -> String {
    let from = if link.is_absolute() {
        PathBuf::new()
    } else {
        Path::new(path).parent().unwrap_or(Path::new("")).to_owned()
    };
    let mut at = from;
    for part in link.components() {
        match part {
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => at.push(name),
            _ => {}
        }
    }
    // Links of before /usr was merged.
    let text = at.to_string_lossy().into_owned();
    if ["lib/", "bin/", "sbin/"]
        .iter()
        .any(|old| text.starts_with(old))
    {
        format!("usr/{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_within_the_tree() {
        let of = |path: &str, link: &str| target(path, Path::new(link));
        assert_eq!(
            of("usr/lib/x/liba.so.1", "liba.so.1.2"),
            "usr/lib/x/liba.so.1.2"
        );
        assert_eq!(of("usr/lib/ld.so", "x/ld.so"), "usr/lib/x/ld.so");
        assert_eq!(of("usr/bin/a", "/lib/systemd/a"), "usr/lib/systemd/a");
        assert_eq!(of("usr/bin/a", "../lib/a"), "usr/lib/a");
    }
}
