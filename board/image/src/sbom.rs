//! What the image is made of: a bill of materials (SPDX 2.3), licences and sizes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{Digest, EPOCH, Made};
use serde_json::{Value, json};

use crate::crates::{self, Crate};
use crate::licence::{self, Licence, Text};
use crate::userspace::{Kept, PROGRAMS, Settings};

/// How the lists are made is an input of whoever keeps them.
pub const RECIPE: &str = concat!(
    include_str!("crates.rs"),
    include_str!("licence.rs"),
    include_str!("sbom.rs"),
);

/// Writes `sbom.spdx.json` and `licences.txt` into `out`.
pub fn write(
    out: &Path,
    here: &Path,
    packages: &[Kept],
    unpacked: &Made,
    settings: &Settings,
) -> anyhow::Result<()> {
    let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    let crates = crates::of(&here.join("../.."), &names)?;
    let texts = packages
        .iter()
        .map(|kept| Ok((kept, licence::copyright(unpacked, &kept.package.name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    fs::write(
        out.join("sbom.spdx.json"),
        serde_json::to_vec_pretty(&document(&texts, &crates, settings)?)?,
    )?;
    Ok(fs::write(
        out.join("licences.txt"),
        licences(&texts, &crates)?,
    )?)
}

/// What is in the image, as SPDX sees it.
#[derive(Default)]
struct Contents {
    packages: Vec<Value>,
    relations: Vec<Value>,
    texts: BTreeMap<String, Text>,
}

/// The whole image, which contains everything else.
const IMAGE: &str = "SPDXRef-Image";

impl Contents {
    /// Adds an entry, with what is said of all of them.
    fn add(&mut self, id: &str, licence: Licence, mut entry: Value) {
        if let Some(entry) = entry.as_object_mut() {
            for (name, value) in [
                ("SPDXID", Value::from(id)),
                ("downloadLocation", "NOASSERTION".into()),
                ("filesAnalyzed", false.into()),
                ("licenseConcluded", "NOASSERTION".into()),
                ("licenseDeclared", licence.expression.into()),
                ("copyrightText", "NOASSERTION".into()),
            ] {
                entry.insert(name.to_owned(), value);
            }
        }
        if let Some(text) = licence.text {
            self.texts.entry(text.id.clone()).or_insert(text);
        }
        self.packages.push(entry);
        let (from, kind) = if id == IMAGE {
            ("SPDXRef-DOCUMENT", "DESCRIBES")
        } else {
            (IMAGE, "CONTAINS")
        };
        self.relations.push(
            json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": id}),
        );
    }

    fn add_debian(&mut self, kept: &Kept, copyright: &str) {
        let package = &kept.package;
        let names: Vec<String> = licence::short_names(copyright).into_iter().collect();
        let purl = format!(
            "pkg:deb/debian/{}@{}?arch={}&distro=trixie",
            escape(&package.name),
            escape(&package.version),
            package.architecture
        );
        let mut entry = json!({
            "name": package.name,
            "versionInfo": package.version,
            "sourceInfo": format!("built by Debian from its source package {}", package.source),
            "supplier": "Organization: Debian",
            "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256.as_str()}],
            "externalRefs": [reference(&purl)],
        });
        if let (Some(entry), false) = (entry.as_object_mut(), names.is_empty()) {
            let comment = format!("Debian's short names: {}", names.join(", "));
            entry.insert("licenseComments".to_owned(), comment.into());
        }
        self.add(
            &id("Debian", &package.name, &package.version),
            Licence::of_debian(&package.name, copyright),
            entry,
        );
    }

    fn add_crate(&mut self, one: &Crate) -> anyhow::Result<()> {
        let mut entry = json!({"name": one.name, "versionInfo": one.version});
        // Ours are in no registry, where another's may have the same name.
        if let (Some(entry), Some(sum)) = (entry.as_object_mut(), &one.checksum) {
            let purl = format!("pkg:cargo/{}@{}", one.name, escape(&one.version));
            let sums = json!([{"algorithm": "SHA256", "checksumValue": sum}]);
            entry.insert("checksums".to_owned(), sums);
            entry.insert("externalRefs".to_owned(), json!([reference(&purl)]));
        }
        let id = id("Crate", &one.name, &one.version);
        self.add(&id, Licence::of_crate(one)?, entry);
        Ok(())
    }
}

fn document(
    packages: &[(&Kept, String)],
    crates: &[Crate],
    settings: &Settings,
) -> anyhow::Result<Value> {
    let mut contents = Contents::default();
    let whole = Licence {
        expression: "NOASSERTION".to_owned(),
        text: None,
    };
    contents.add(
        IMAGE,
        whole,
        json!({
            "name": format!("umec-{}", settings.board),
            "versionInfo": settings.version,
            "primaryPackagePurpose": "OPERATING-SYSTEM",
        }),
    );
    for (kept, copyright) in packages {
        contents.add_debian(kept, copyright);
    }
    for one in crates {
        contents.add_crate(one)?;
    }
    // A namespace is one document's alone (SPDX 2.3, 6.5): two images of one version may differ.
    let digest = Digest::of(&serde_json::to_vec(&contents.packages)?);
    let Settings { board, version, .. } = settings;
    let texts: Vec<Value> = contents
        .texts
        .values()
        .map(|text| json!({"licenseId": text.id, "name": text.name, "extractedText": text.words}))
        .collect();
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("umec-{board}-{version}"),
        "documentNamespace": format!("urn:umec:sbom:{board}:{version}:{digest}"),
        "creationInfo": {"created": created(), "creators": ["Tool: board-image"]},
        "packages": contents.packages,
        "relationships": contents.relations,
        "hasExtractedLicensingInfos": texts,
    }))
}

fn reference(purl: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl})
}

/// A part of a package URL: what is more than letters, digits, `.`, `-`, `_` and `~` is escaped.
fn escape(part: &str) -> String {
    let mut out = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// SPDX takes letters, digits, `.` and `-`.
fn id(kind: &str, name: &str, version: &str) -> String {
    let plain: String = format!("{name}-{version}")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("SPDXRef-{kind}-{plain}")
}

/// The moment of everything that is built (RFC 3339). Civil date from days, after H. Hinnant's algorithm.
fn created() -> String {
    let (days, seconds) = (EPOCH / 86_400, EPOCH % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn licences(packages: &[(&Kept, String)], crates: &[Crate]) -> anyhow::Result<String> {
    let mut text = String::from("Debian packages of which something is in the image\n\n");
    for (kept, copyright) in packages {
        let names: Vec<String> = licence::short_names(copyright).into_iter().collect();
        let names = if names.is_empty() {
            "see its text below".to_owned()
        } else {
            names.join(", ")
        };
        writeln!(
            text,
            "{:34} {:28} {names}",
            kept.package.name, kept.package.version
        )?;
    }
    text.push_str("\nRust crates in our programs\n\n");
    for one in crates {
        let of_crate = Licence::of_crate(one)?;
        let license = match of_crate.text {
            Some(_) => "see its text below",
            None => of_crate.expression.as_str(),
        };
        writeln!(text, "{:34} {:28} {license}", one.name, one.version)?;
    }
    // One text for packages that say the same.
    let mut same: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (kept, copyright) in packages {
        let of = same.entry(copyright.trim_end().to_owned()).or_default();
        of.push(&kept.package.name);
    }
    // Ours have the repository's own licence.
    for one in crates.iter().filter(|one| one.checksum.is_some()) {
        for file in licence::texts(one)? {
            let of = same.entry(file.trim_end().to_owned()).or_default();
            of.push(&one.name);
        }
    }
    for (words, mut names) in same {
        names.dedup();
        write!(
            text,
            "\n{}\n{}\n\n{words}\n",
            "=".repeat(78),
            names.join(", ")
        )?;
    }
    Ok(text)
}

/// Bytes by package, and of what is ours, largest first.
pub fn sizes(tree: &Path, packages: &[Kept]) -> anyhow::Result<String> {
    let mut rows: Vec<(u64, String)> = packages
        .iter()
        .filter(|kept| kept.bytes > 0)
        .map(|kept| (kept.bytes, format!("{} ({})", kept.package.name, kept.why)))
        .collect();
    for (name, path) in PROGRAMS {
        let about =
            fs::metadata(tree.join(path)).with_context(|| format!("{name} is not in the image"))?;
        rows.push((about.len(), format!("{name} (ours)")));
    }
    let total = bytes(tree)?;
    let known: u64 = rows.iter().map(|(bytes, _)| bytes).sum();
    let rest = total
        .checked_sub(known)
        .context("the image has less in it than was put there")?;
    rows.push((
        rest,
        "made for the image (units, configuration, authorities, links)".to_owned(),
    ));
    rows.sort_by(|one, other| other.cmp(one));
    let mut text = String::new();
    for (bytes, name) in rows {
        writeln!(text, "{bytes:>10} {name}")?;
    }
    writeln!(text, "{total:>10} in all, before compression")?;
    Ok(text)
}

/// Of all files and links below a folder.
fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() {
            bytes(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_sizes_are_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        for (_, path) in PROGRAMS {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1234").unwrap();
        }
        fs::create_dir(tree.path().join("etc")).unwrap();
        fs::write(tree.path().join("etc/ours"), "1234567").unwrap();
        let text = sizes(tree.path(), &[]).unwrap();
        let mut rows: Vec<u64> = text
            .lines()
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        let total = rows.pop().unwrap();
        let written = 4 * u64::try_from(PROGRAMS.len()).unwrap() + 7;
        assert_eq!((total, rows.iter().sum::<u64>()), (written, written));
    }

    #[test]
    fn a_version_of_debian_stands_in_a_package_url() {
        assert_eq!(escape("1:2.41-12+deb13u1~x"), "1%3A2.41-12%2Bdeb13u1~x");
    }

    #[test]
    fn the_moment_is_the_epoch_of_all_builds() {
        assert_eq!(created(), "2026-11-01T00:00:00Z");
    }
}
