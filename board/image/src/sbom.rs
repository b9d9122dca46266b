//! What the image is made of: a bill of materials (SPDX 2.3), licences and sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{EPOCH, Made};
use serde_json::{Value, json};

use crate::crates::{self, Crate};
use crate::userspace::{Kept, PROGRAMS, Settings};

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
        .map(|kept| Ok((kept, copyright(unpacked, &kept.package.name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let document = document(&texts, &crates, settings);
    fs::write(
        out.join("sbom.spdx.json"),
        serde_json::to_vec_pretty(&document)?,
    )?;
    Ok(fs::write(
        out.join("licences.txt"),
        licences(&texts, &crates)?,
    )?)
}

/// Debian's file about a package's licences; the folder may be a link to another package's.
fn copyright(unpacked: &Made, package: &str) -> anyhow::Result<String> {
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
fn short_names(copyright: &str) -> BTreeSet<String> {
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
fn expression(names: &BTreeSet<String>) -> String {
    let known: Option<BTreeSet<&str>> = names
        .iter()
        .map(|name| {
            LICENCES
                .iter()
                .find(|(debian, _)| debian == name)
                .map(|(_, spdx)| *spdx)
        })
        .collect();
    match known {
        Some(known) if !known.is_empty() => known.into_iter().collect::<Vec<_>>().join(" AND "),
        _ => "NOASSERTION".to_owned(),
    }
}

fn document(packages: &[(&Kept, String)], crates: &[Crate], settings: &Settings) -> Value {
    let image = "SPDXRef-Image";
    let mut entries = vec![json!({
        "SPDXID": image,
        "name": format!("umec-{}", settings.board),
        "versionInfo": settings.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    let mut relations = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": image,
    })];
    let mut add = |id: String, mut entry: Value| {
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("SPDXID".to_owned(), id.clone().into());
            entry.insert("downloadLocation".to_owned(), "NOASSERTION".into());
            entry.insert("filesAnalyzed".to_owned(), false.into());
            entry.insert("licenseConcluded".to_owned(), "NOASSERTION".into());
            entry.insert("copyrightText".to_owned(), "NOASSERTION".into());
        }
        entries.push(entry);
        relations.push(json!({
            "spdxElementId": image, "relationshipType": "CONTAINS", "relatedSpdxElement": id,
        }));
    };
    for (kept, copyright) in packages {
        let package = &kept.package;
        let names = short_names(copyright);
        let purl = format!(
            "pkg:deb/debian/{}@{}?arch={}&distro=trixie",
            package.name, package.version, package.architecture
        );
        add(
            id("Debian", &package.name, &package.version),
            json!({
                "name": package.name,
                "versionInfo": package.version,
                "sourceInfo": format!("built by Debian from its source package {}", package.source),
                "supplier": "Organization: Debian",
                "licenseDeclared": expression(&names),
                "licenseComments": format!("Debian's short names: {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
                "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256.as_str()}],
                "externalRefs": [reference(&purl)],
            }),
        );
    }
    for one in crates {
        let mut entry = json!({
            "name": one.name,
            "versionInfo": one.version,
            "licenseDeclared": one.license.clone().unwrap_or_else(|| "NOASSERTION".to_owned()),
            "externalRefs": [reference(&format!("pkg:cargo/{}@{}", one.name, one.version))],
        });
        if let (Some(entry), Some(sum)) = (entry.as_object_mut(), &one.checksum) {
            let sums = json!([{"algorithm": "SHA256", "checksumValue": sum}]);
            entry.insert("checksums".to_owned(), sums);
        }
        add(id("Crate", &one.name, &one.version), entry);
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("umec-{}-{}", settings.board, settings.version),
        "documentNamespace": format!("urn:umec:sbom:{}:{}", settings.board, settings.version),
        "creationInfo": {"created": created(), "creators": ["Tool: board-image"]},
        "packages": entries,
        "relationships": relations,
    })
}

fn reference(purl: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl})
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
        let names: Vec<String> = short_names(copyright).into_iter().collect();
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
        let license = one.license.as_deref().unwrap_or("see its sources");
        writeln!(text, "{:34} {:28} {license}", one.name, one.version)?;
    }
    // One text for packages of one source that say the same.
    let mut same: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (kept, copyright) in packages {
        same.entry(copyright).or_default().push(&kept.package.name);
    }
    for (copyright, names) in same {
        write!(
            text,
            "\n{}\n{}\n\n{}\n",
            "=".repeat(78),
            names.join(", "),
            copyright.trim_end()
        )?;
    }
    Ok(text)
}

/// Bytes by package, and of what is ours, largest first.
pub fn sizes(tree: &Path, packages: &[Kept]) -> anyhow::Result<String> {
    let mut rows: Vec<(u64, String)> = packages
        .iter()
        .map(|kept| (kept.bytes, format!("{} ({})", kept.package.name, kept.why)))
        .collect();
    for (name, path) in PROGRAMS {
        rows.push((
            fs::metadata(tree.join(path))?.len(),
            format!("{name} (ours)"),
        ));
    }
    rows.sort_by(|one, other| other.cmp(one));
    let total: u64 = rows.iter().map(|(bytes, _)| bytes).sum();
    let mut text = String::new();
    for (bytes, name) in rows {
        writeln!(text, "{bytes:>10} {name}")?;
    }
    writeln!(text, "{total:>10} in all, before compression")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_claimed_only_where_every_name_is_known() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Expat\n\nFiles: x\nLicense: Expat\n";
        let names = short_names(text);
        assert_eq!(expression(&names), "GPL-2.0-or-later AND MIT");
        let strange = short_names(&format!("{text}License: my-own\n"));
        assert_eq!(expression(&strange), "NOASSERTION");
        assert!(short_names("This is free software.\nLicense: what?\n").is_empty());
    }

    #[test]
    fn the_moment_is_the_epoch_of_all_builds() {
        assert_eq!(created(), "2026-11-01T00:00:00Z");
    }
}
