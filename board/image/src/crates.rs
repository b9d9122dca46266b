//! The crates that our programs are linked from, as cargo resolves them for the box.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use board_forge::output;
use serde::Deserialize;

/// The boxes' target: crates for other systems are not linked.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its author declares, an SPDX expression.
    pub license: Option<String>,
    /// The author's own text, where there is no expression.
    pub license_file: Option<PathBuf>,
    /// The folder with its sources.
    pub folder: PathBuf,
    /// SHA-256 of the file in the registry; none for ours.
    pub checksum: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    license_file: Option<PathBuf>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates of some programs of the workspace, by name and version.
pub fn of(workspace: &Path, programs: &[&str]) -> anyhow::Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = output(
        Command::new(cargo)
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--filter-platform",
                TARGET,
            ])
            .current_dir(workspace),
    )?;
    let metadata = serde_json::from_str(&text).context("cargo metadata is not understood")?;
    let lock = fs::read_to_string(workspace.join("Cargo.lock"))?;
    let lock = toml::from_str(&lock).context("Cargo.lock is not understood")?;
    Ok(linked(&metadata, &lock, programs))
}

fn linked(metadata: &Metadata, lock: &Lock, programs: &[&str]) -> Vec<Crate> {
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let makes = |package: &Package| {
        package.targets.iter().any(|target| {
            target.kind.iter().any(|kind| kind == "bin") && programs.contains(&target.name.as_str())
        })
    };
    let mut waiting: Vec<&str> = metadata
        .packages
        .iter()
        .filter(|package| makes(package))
        .map(|package| package.id.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        // What runs at build time or in tests alone is not in the program.
        let normal = node
            .deps
            .iter()
            .filter(|one| one.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        waiting.extend(normal.map(|one| one.pkg.as_str()));
    }
    let checksums: BTreeMap<(&str, &str), &Option<String>> = lock
        .package
        .iter()
        .map(|one| ((one.name.as_str(), one.version.as_str()), &one.checksum))
        .collect();
    let mut crates: Vec<Crate> = metadata
        .packages
        .iter()
        .filter(|package| seen.contains(package.id.as_str()))
        .map(|package| Crate {
            name: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone(),
            license_file: package.license_file.clone(),
            folder: package
                .manifest_path
                .parent()
                .unwrap_or(Path::new(""))
                .to_owned(),
            checksum: checksums
                .get(&(package.name.as_str(), package.version.as_str()))
                .and_then(|sum| (*sum).clone()),
        })
        .collect();
    crates.sort();
    crates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_tests_and_build_scripts_are_not_in_the_program() {
        let metadata = serde_json::from_str(
            r#"{"packages": [
              {"id": "p", "name": "p", "version": "1", "license": "MIT", "manifest_path": "/x/Cargo.toml", "targets": [{"name": "prog", "kind": ["bin"]}]},
              {"id": "a", "name": "a", "version": "1", "license": null, "license_file": "COPYING", "manifest_path": "/a/Cargo.toml", "targets": []},
              {"id": "t", "name": "t", "version": "1", "license": "MIT", "manifest_path": "/x/Cargo.toml", "targets": []}],
             "resolve": {"nodes": [
              {"id": "p", "deps": [{"pkg": "a", "dep_kinds": [{"kind": null}]}, {"pkg": "t", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]}]},
              {"id": "a", "deps": []}, {"id": "t", "deps": []}]}}"#,
        )
        .unwrap();
        let lock = toml::from_str("[[package]]\nname = \"a\"\nversion = \"1\"\nchecksum = \"x\"\n")
            .unwrap();
        let crates = linked(&metadata, &lock, &["prog"]);
        let names: Vec<&str> = crates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "p"]);
        assert_eq!(crates[0].checksum.as_deref(), Some("x"));
        assert_eq!(crates[0].folder, Path::new("/a"));
    }
}
