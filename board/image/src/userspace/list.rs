//! `packages.toml`: what is taken of which package, and why.

use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The whole list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Debian's suites, the default first.
    pub suites: Vec<String>,
    /// In the file's order.
    pub package: Vec<Wanted>,
}

/// One package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Debian's name.
    pub name: String,
    /// What it is for.
    pub why: String,
    /// Absolute paths; a folder ends in `/`.
    pub keep: Vec<String>,
}

impl List {
    /// Reads it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a list of packages", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let list: Self = toml::from_str(text)?;
        for package in &list.package {
            if package.why.trim().is_empty() {
                bail!("{} has no reason", package.name);
            }
            if let Some(path) = package.keep.iter().find(|path| !path.starts_with('/')) {
                bail!("{}: {path} is not an absolute path", package.name);
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_reason_is_no_part_of_the_image() {
        let text = |why: &str| {
            format!(
                "suites = [\"trixie\"]\n[[package]]\nname = \"a\"\nwhy = \"{why}\"\nkeep = [\"/a\"]\n"
            )
        };
        assert!(List::parse(&text("it runs")).is_ok());
        assert!(List::parse(&text(" ")).is_err());
        assert!(List::parse(&text("it runs").replace("\"/a\"", "\"a\"")).is_err());
    }
}
