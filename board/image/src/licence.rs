//! Licences as SPDX writes them, and the texts behind them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use board_forge::{Digest, Made};

use crate::crates::Crate;

/// Debian's short names of licences (DEP-5, section "Short name") and SPDX's.
const LICENCES: [(&str, &str); 26] = [
    ("Apache-2", "Apache-2.0"),
    ("Apache-2.0", "Apache-2.0"),
    ("BSD-2", "BSD-2-Clause"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-2-Clause", "BSD-2-Clause"),
    ("BSD-3", "BSD-3-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-3-Clause", "BSD-3-Clause"),
    ("CC0-1.0", "CC0-1.0"),
    ("EDL-1.0", "BSD-3-Clause"),
    ("EPL-2.0", "EPL-2.0"),
    ("Expat", "MIT"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-3", "GPL-3.0-only"),
    ("GPL-3+", "GPL-3.0-or-later"),
    ("ISC", "ISC"),
    ("LGPL-2", "LGPL-2.0-only"),
    ("LGPL-2+", "LGPL-2.0-or-later"),
    ("LGPL-2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("LGPL-3", "LGPL-3.0-only"),
    ("LGPL-3+", "LGPL-3.0-or-later"),
    ("MIT", "MIT"),
    ("MPL-2.0", "MPL-2.0"),
    ("Zlib", "Zlib"),
];

/// How a file with a licence or a notice begins in a crate, in capital letters.
const FILES: [&str; 6] = [
    "COPYING",
    "COPYRIGHT",
    "LICENCE",
    "LICENSE",
    "NOTICE",
    "UNLICENSE",
];
/// Characters of a digest that name a text.
const NAME: usize = 16;

/// What is declared of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// An expression of SPDX (annex D).
    pub expression: String,
    /// The text it names, where SPDX's list has no name for it.
    pub text: Option<Text>,
}

/// A text that SPDX's list does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// `LicenseRef-…`; the same text has the same.
    pub id: String,
    /// Where it comes from.
    pub name: String,
    /// Itself.
    pub words: String,
}

impl Licence {
    fn own(name: String, words: String) -> Self {
        let digest = Digest::of(words.as_bytes());
        let short = digest.as_str().get(..NAME).unwrap_or_default();
        let id = format!("LicenseRef-{short}");
        Self {
            expression: id.clone(),
            text: Some(Text { id, name, words }),
        }
    }

    /// Of a Debian package: SPDX's names where all of Debian's are known, else the copyright file itself.
    pub fn of_debian(package: &str, copyright: &str) -> Self {
        match expression(&short_names(copyright)) {
            Some(expression) => Self {
                expression,
                text: None,
            },
            None => Self::own(
                format!("copyright file of Debian's {package}"),
                copyright.to_owned(),
            ),
        }
    }

    /// Of a crate: what its author declares, or the file that stands for it.
    ///
    /// # Errors
    /// There is neither, or the file cannot be read.
    pub fn of_crate(one: &Crate) -> anyhow::Result<Self> {
        if let Some(license) = &one.license {
            return Ok(Self {
                expression: modern(license),
                text: None,
            });
        }
        let file = one
            .license_file
            .as_ref()
            .with_context(|| format!("the crate {} declares no licence", one.name))?;
        let path = one.folder.join(file);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::own(
            format!("{} of the crate {}", file.display(), one.name),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }
}

/// Cargo's older form has a stroke where SPDX says OR.
fn modern(license: &str) -> String {
    let parts: Vec<&str> = license.split('/').map(str::trim).collect();
    parts.join(" OR ")
}

/// Licences and notices that come with a crate, in the order of their names.
///
/// # Errors
/// Its folder cannot be read.
pub fn texts(one: &Crate) -> anyhow::Result<Vec<String>> {
    let listed = fs::read_dir(&one.folder)
        .with_context(|| format!("the crate {} is not there", one.name))?;
    let mut paths = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        path.is_file() && FILES.iter().any(|begin| name.starts_with(begin))
    });
    paths.sort();
    let read = |path: &PathBuf| Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    paths.iter().map(read).collect()
}

/// Debian's file about a package's licences; the folder may be a link to another package's.
pub fn copyright(unpacked: &Made, package: &str) -> anyhow::Result<String> {
    let documents = |of: &str, name: &str| unpacked.join(of).join("usr/share/doc").join(name);
    let folder = documents(package, package);
    let path = match fs::read_link(&folder) {
        Ok(other) => {
            let other = other.to_string_lossy().into_owned();
            documents(&other, &other).join("copyright")
        }
        Err(_) => folder.join("copyright"),
    };
    let bytes = fs::read(&path)
        .with_context(|| format!("{package} has no copyright file ({})", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Debian's short names in a machine-readable copyright file (DEP-5); nothing where it is for people alone.
pub fn short_names(copyright: &str) -> BTreeSet<String> {
    let machine_readable = copyright
        .lines()
        .take(5)
        .any(|line| line.starts_with("Format:") && line.contains("copyright-format"));
    let lines = copyright.lines().filter(|_| machine_readable);
    lines
        .filter_map(|line| line.strip_prefix("License:"))
        .flat_map(|names| names.split(" and ").flat_map(|names| names.split(" or ")))
        .map(|name| name.trim().trim_end_matches(',').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// SPDX's expression where every name is known, and nothing claimed where one is not.
fn expression(names: &BTreeSet<String>) -> Option<String> {
    let spdx = |name: &String| {
        let mut known = LICENCES.iter();
        known
            .find(|(debian, _)| debian == name)
            .map(|(_, spdx)| *spdx)
    };
    let known = names.iter().map(spdx).collect::<Option<BTreeSet<_>>>()?;
    (!known.is_empty()).then(|| known.into_iter().collect::<Vec<_>>().join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_named_only_where_every_name_is_known() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Expat\n\nFiles: x\nLicense: Expat\n";
        let known = Licence::of_debian("x", text);
        assert_eq!(known.expression, "GPL-2.0-or-later AND MIT");
        for strange in [
            format!("{text}License: my-own\n"),
            "This is free software.\nLicense: what?\n".to_owned(),
        ] {
            let licence = Licence::of_debian("x", &strange);
            let text = licence.text.unwrap();
            assert_eq!((&licence.expression, &text.words), (&text.id, &strange));
        }
    }

    #[test]
    fn a_crate_without_a_name_for_its_licence_brings_the_text() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("LICENSE"), "do what you like").unwrap();
        let mut one = Crate {
            name: "x".to_owned(),
            version: "1".to_owned(),
            license: Some("MIT/Apache-2.0".to_owned()),
            license_file: Some("LICENSE".into()),
            folder: folder.path().to_owned(),
            checksum: None,
        };
        let named = Licence::of_crate(&one).unwrap();
        assert_eq!(named.expression, "MIT OR Apache-2.0");
        one.license = None;
        let own = Licence::of_crate(&one).unwrap();
        assert_eq!(own.text.unwrap().words, "do what you like");
        one.license_file = None;
        assert!(Licence::of_crate(&one).is_err());
    }
}
