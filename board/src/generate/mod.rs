//! `cargo board generate`: openapi/ becomes the code of mec-api/ and the documents that it serves.
//!
//! The output is committed, so that a reader and a compiler need nothing else, and `--check` (and with it
//! `cargo test`) fails where it is not what the documents say. What a document says and the generator does not know is
//! an error, never left out.
//!
//! From [`library`] (files and references) over [`schemas`] and [`operations`] to the [`model`], from there to text.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "text is put together line by line, once, and write! would have errors that cannot happen"
)]

mod bundle;
mod choices;
mod files;
mod known;
mod library;
mod model;
mod names;
mod node;
mod operations;
mod print_api;
mod print_checks;
mod print_router;
mod print_types;
mod prose;
mod rules;
mod rustfmt;
mod schemas;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::workspace;

/// The modules of `mec-api`, the documents they come from and their traits.
const MODULES: [(&str, &str, Option<&str>); 6] = [
    ("common", "common.yaml", None),
    ("app_support", "mec011-app-support.yaml", Some("AppSupport")),
    (
        "service_management",
        "mec011-service-management.yaml",
        Some("ServiceManagement"),
    ),
    (
        "package_management",
        "mec010-2-package-management.yaml",
        Some("PackageManagement"),
    ),
    ("lifecycle", "mec010-2-lifecycle.yaml", Some("Lifecycle")),
    ("bandwidth", "mec015-bandwidth.yaml", Some("Bandwidth")),
];

/// The document that is written and not read.
const OWN: &str = "platform.yaml";

/// What is compared or written.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Compare with what is there instead of writing, and fail where it differs.
    #[arg(long)]
    pub check: bool,
}

/// Writes the files, or compares them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let root = workspace::root();
    ensure!(
        rustfmt::is_installed(),
        "rustfmt is not installed: run `rustup component add rustfmt`"
    );
    let files = files::all(&root)?;
    if options.check {
        let stale = stale(&root, &files)?;
        ensure!(
            stale.is_empty(),
            "openapi/ says something else than {}; run `cargo board generate`",
            stale.join(", ")
        );
        println!("{} files are what openapi/ says", files.len());
        return Ok(());
    }
    for (name, text) in &files {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    for name in leftovers(&root, &files)? {
        std::fs::remove_file(root.join(&name)).with_context(|| name.clone())?;
    }
    println!("{} files written", files.len());
    Ok(())
}

/// The module that a document becomes.
fn module_of(document: &str) -> Option<&'static str> {
    let found = MODULES.iter().find(|(_, known, _)| *known == document);
    found.map(|(name, ..)| *name)
}

/// The files that are not what they should be.
fn stale(root: &Path, files: &BTreeMap<PathBuf, String>) -> anyhow::Result<Vec<String>> {
    let differs = |(name, text): &(&PathBuf, &String)| {
        std::fs::read_to_string(root.join(name)).ok().as_ref() != Some(text)
    };
    let differing = files
        .iter()
        .filter(differs)
        .map(|(name, _)| name.display().to_string());
    let mut stale: Vec<String> = differing.collect();
    stale.extend(leftovers(root, files)?);
    Ok(stale)
}

/// Generated files that the documents do not have any more.
fn leftovers(root: &Path, files: &BTreeMap<PathBuf, String>) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let folders = MODULES
        .iter()
        .map(|(name, ..)| format!("mec-api/src/{name}"));
    for folder in folders.chain(["mec-api/documents".to_owned()]) {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let name = PathBuf::from(&folder).join(entry?.file_name());
            if !files.contains_key(&name) {
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn what_is_committed_is_what_the_documents_say() {
    if !rustfmt::is_installed() {
        println!("generate: not compared, because rustfmt is not installed");
        return;
    }
    let root = workspace::root();
    let files = files::all(&root).unwrap();
    assert_eq!(stale(&root, &files).unwrap(), Vec::<String>::new());
}
