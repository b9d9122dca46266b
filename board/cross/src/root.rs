//! The Debian in which everything for aarch64 is compiled.

use board_forge::{Cache, DebianRoot, RootSpec};

/// A package a line, then its reason.
const PACKAGES: &str = include_str!("../../../cross/packages.txt");

/// The cross root: Debian 12, so that the programs run on it and on everything newer. Its security updates carry the
/// compiler (`rustc-web`).
///
/// # Errors
/// mmdebstrap's.
pub fn root(cache: &Cache) -> anyhow::Result<DebianRoot> {
    RootSpec {
        name: "cross-root",
        suite: "bookworm",
        // The first one's programs run; the second one's libraries are linked.
        architectures: &["amd64", "arm64"],
        packages: &packages(PACKAGES),
    }
    .make(cache)
}

fn packages(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(name, why)| (name, why.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_the_root_has_its_reason() {
        let found = packages(PACKAGES);
        let lines = PACKAGES.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(found.len(), lines.count());
        assert!(found.iter().all(|(_, why)| why.len() > 5), "{found:?}");
        assert!(found.iter().any(|(name, _)| *name == "libc6-dev:arm64"));
    }
}
