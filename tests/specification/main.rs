//! SPECIFICATION.md names only tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};

/// Words in backticks that look like a test's name: a sentence has at least three words.
fn named(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        word.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && word.matches('_').count() >= 2
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

fn read_sources(folder: &Path, all: &mut String) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            read_sources(&path, all)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[test]
fn every_test_that_the_specification_names_exists() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let specification = std::fs::read_to_string(root.join("SPECIFICATION.md"))?;
    let mut sources = String::new();
    for folder in ["edged", "board", "tests"] {
        read_sources(&root.join(folder), &mut sources)?;
    }
    let names = named(&specification);
    ensure!(
        names.len() > 30,
        "this test is blind: only {} names",
        names.len()
    );
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    ensure!(
        missing.is_empty(),
        "SPECIFICATION.md names tests that do not exist: {missing:?}"
    );
    Ok(())
}
