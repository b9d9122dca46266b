//! What is in the image against what was reviewed (`board/image/inventory.toml`).
//!
//! A new program, user, unit or set-user-id file is not wrong by itself; it is wrong that nobody looked at it. The build
//! names it and stops; whoever adds it to the list has looked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The parts that can be read off a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Accounts. None can log in: nothing in the image asks for a password.
    pub users: BTreeSet<String>,
    /// Files with the set-user-id or set-group-id bit.
    pub setuid: BTreeSet<String>,
    /// Files that anybody but root may write, before anything is mounted over them.
    pub writable: BTreeSet<String>,
    /// Units that start, as `TARGET/UNIT`.
    pub units: BTreeSet<String>,
    /// ELF files; libraries without the numbers behind their interface's.
    pub programs: BTreeSet<String>,
    /// Files that start with `#!`: there is nothing that could run them.
    pub scripts: BTreeSet<String>,
    /// What a running box listens on, as `PROTOCOL PORT PROGRAM`. Compared in the booted box (tests/boot).
    #[serde(default)]
    pub listening: BTreeSet<String>,
}

/// The list that was reviewed.
///
/// # Errors
/// It cannot be read, or is none.
pub fn reviewed() -> anyhow::Result<Inventory> {
    from_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.toml"))
}

fn from_file(list: &Path) -> anyhow::Result<Inventory> {
    let text =
        fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not an inventory", list.display()))
}

/// Compares a tree with a list.
pub fn check(tree: &Path, list: &Path) -> anyhow::Result<()> {
    let reviewed = from_file(list)?;
    let found = read(tree)?;
    let differences = compare(&reviewed, &found);
    if !differences.is_empty() {
        bail!(
            "the image is not what was reviewed:\n  {}\nlook at each, then write it into {}",
            differences.join("\n  "),
            list.display()
        );
    }
    Ok(())
}

/// Reads a tree.
pub fn read(tree: &Path) -> anyhow::Result<Inventory> {
    let mut found = Inventory::default();
    let users = fs::read_to_string(tree.join("etc/passwd")).context("the image has no users")?;
    found.users = users
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(str::to_owned)
        .collect();
    look(tree, tree, &mut found)?;
    Ok(found)
}

fn look(tree: &Path, folder: &Path, found: &mut Inventory) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("/{}", path.strip_prefix(tree)?.display());
        let about = fs::symlink_metadata(&path)?;
        let mode = about.permissions().mode();
        if about.is_symlink() {
            let parts: Vec<&str> = name.rsplitn(3, '/').collect();
            if let [unit, target, _] = parts.as_slice()
                && let Some(target) = target.strip_suffix(".wants")
            {
                found.units.insert(format!("{target}/{unit}"));
            }
            continue;
        }
        if mode & 0o022 != 0 {
            found.writable.insert(name.clone());
        }
        if about.is_dir() {
            look(tree, &path, found)?;
            continue;
        }
        if mode & 0o6000 != 0 {
            found.setuid.insert(name.clone());
        }
        let bytes = fs::read(&path)?;
        if bytes.starts_with(b"\x7fELF") {
            found.programs.insert(without_patch_level(&name).to_owned());
        } else if bytes.starts_with(b"#!") {
            found.scripts.insert(name);
        }
    }
    Ok(())
}

/// `liba.so.1.2.3` as `liba.so.1`: a security update is not a new library.
fn without_patch_level(name: &str) -> &str {
    let Some(at) = name.find(".so.") else {
        return name;
    };
    let level = name.get(at + 4..).and_then(|rest| rest.find('.'));
    level
        .and_then(|level| name.get(..at + 4 + level))
        .unwrap_or(name)
}

fn compare(reviewed: &Inventory, found: &Inventory) -> Vec<String> {
    let pairs = [
        ("user", &reviewed.users, &found.users),
        ("set-user-id file", &reviewed.setuid, &found.setuid),
        ("writable path", &reviewed.writable, &found.writable),
        ("unit", &reviewed.units, &found.units),
        ("program", &reviewed.programs, &found.programs),
        ("script", &reviewed.scripts, &found.scripts),
    ];
    let mut differences = Vec::new();
    for (what, reviewed, found) in pairs {
        differences.extend(
            found
                .difference(reviewed)
                .map(|item| format!("{what} {item} is new")),
        );
        differences.extend(
            reviewed
                .difference(found)
                .map(|item| format!("{what} {item} is gone")),
        );
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir_all(at("a.target.wants")).unwrap();
        fs::write(at("etc/passwd"), "root:x:0:0::/:/\n").unwrap();
        fs::write(at("program"), b"\x7fELF").unwrap();
        std::os::unix::fs::symlink("../b.service", at("a.target.wants/b.service")).unwrap();
        for (name, mode) in [
            ("", 0o755),
            ("etc", 0o755),
            ("a.target.wants", 0o755),
            ("etc/passwd", 0o644),
            ("program", 0o755),
        ] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        tree
    }

    #[test]
    fn a_tree_that_was_reviewed_has_no_difference() {
        let tree = tree();
        let found = read(tree.path()).unwrap();
        assert_eq!(found.units, ["a.target/b.service".to_owned()].into());
        let list = tree.path().join("../list.toml");
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(list.file_name().unwrap());
        fs::write(&list, toml::to_string(&found).unwrap()).unwrap();
        check(tree.path(), &list).unwrap();
    }

    #[test]
    fn a_library_is_known_by_its_interface() {
        assert_eq!(without_patch_level("/a/libx.so.1.2.3"), "/a/libx.so.1");
        assert_eq!(without_patch_level("/a/libx.so.6"), "/a/libx.so.6");
        assert_eq!(without_patch_level("/a/libx-2.1.so"), "/a/libx-2.1.so");
    }

    #[test]
    fn what_nobody_looked_at_stops_the_build_by_name() {
        let tree = tree();
        let reviewed = read(tree.path()).unwrap();
        let path = tree.path().join("su");
        fs::write(&path, b"\x7fELF").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4757)).unwrap();
        fs::write(tree.path().join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::remove_file(tree.path().join("a.target.wants/b.service")).unwrap();
        let differences = compare(&reviewed, &read(tree.path()).unwrap());
        for wanted in [
            "set-user-id file /su is new",
            "writable path /su is new",
            "program /su is new",
            "script /run.sh is new",
            "unit a.target/b.service is gone",
        ] {
            assert!(
                differences.iter().any(|one| one == wanted),
                "{wanted}: {differences:?}"
            );
        }
    }
}
