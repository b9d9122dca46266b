//! What the dependency tree may hold; deny.toml says the same to cargo-deny.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};
use board::{process, workspace};
use serde_json::Value;

/// docs/dependencies.md promises a small tree; each crate of others is somebody whom we trust. 310 were the spine's; signed
/// packages (CMS, X.509), web sockets, the documents' page and the TPM's stack (tss-esapi) brought the rest.
const CRATES_MAX: usize = 418;
/// Never, for the reasons in deny.toml.
const BANNED: [&str; 4] = ["openssl-sys", "aws-lc-rs", "rsa", "rumqttd"];
/// One of these is enough to use a crate.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// File-level copyleft, used unchanged.
const EXCEPTIONS: [(&str, &str); 1] = [("pathrs", "MPL-2.0")];
/// Names only a file; somebody has read it.
const CLARIFIED: [(&str, &str); 1] = [("rust-criu", "MIT")];

fn metadata() -> anyhow::Result<Value> {
    let answer = process::output(workspace::cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]))?;
    Ok(serde_json::from_str(&answer)?)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Whether one side of every `AND` and any side of an `OR` is allowed (SPDX 2.3, annex D, without nesting).
fn allowed(licence: &str, exception: Option<&str>) -> bool {
    let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
    let one = |name: &str| {
        let name = name.trim().trim_end_matches(" WITH LLVM-exception");
        LICENCES.contains(&name) || exception == Some(name)
    };
    plain
        .split(" OR ")
        .any(|side| side.split(" AND ").all(one))
        // `(MIT OR Apache-2.0) AND Unicode-3.0`: each word is on the list.
        || plain.replace(" AND ", " OR ").split(" OR ").all(one)
}

#[test]
fn banned_crates_are_not_in_the_lock_file() -> anyhow::Result<()> {
    let lock = fs::read_to_string(workspace::root().join("Cargo.lock"))?;
    for name in BANNED {
        ensure!(
            !lock.contains(&format!("name = \"{name}\"\n")),
            "{name} is in Cargo.lock; `cargo tree -i {name}` says why"
        );
    }
    Ok(())
}

#[test]
fn the_tree_stays_small() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let ours: BTreeSet<&str> = list(&metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let crates = list(&metadata["resolve"], "nodes")
        .iter()
        .filter(|node| !ours.contains(text(node, "id")))
        .count();
    ensure!(
        crates <= CRATES_MAX,
        "{crates} crates of others; more than {CRATES_MAX} need a decision"
    );
    Ok(())
}

#[test]
fn every_licence_is_one_we_know() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let used: BTreeSet<&str> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|node| text(node, "id"))
        .collect();
    for package in list(&metadata, "packages") {
        if !used.contains(text(package, "id")) {
            continue;
        }
        let name = text(package, "name");
        let clarified = CLARIFIED.iter().find(|(crate_name, _)| *crate_name == name);
        let licence = clarified.map_or(text(package, "license"), |(_, licence)| licence);
        let exception = EXCEPTIONS
            .iter()
            .find(|(crate_name, _)| *crate_name == name);
        ensure!(
            allowed(licence, exception.map(|(_, licence)| *licence)),
            "{name} is under {licence:?}, which is not on the list"
        );
    }
    Ok(())
}

#[test]
fn every_direct_dependency_has_its_line() -> anyhow::Result<()> {
    let text_of = fs::read_to_string(workspace::root().join("docs/dependencies.md"))?;
    let words: BTreeSet<&str> = text_of
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .collect();
    let metadata = metadata()?;
    let ours: BTreeSet<&str> = list(&metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for package in list(&metadata, "packages")
        .iter()
        .filter(|package| ours.contains(text(package, "id")))
    {
        for dependency in list(package, "dependencies") {
            let name = text(dependency, "name");
            let from_outside = dependency["source"].is_string();
            // `netlink-packet-core, -route`: a family is written once.
            let family = name.rsplit_once('-').map(|(family, last)| {
                (words.contains(format!("-{last}").as_str()) || words.contains(last))
                    && text_of.contains(family)
            });
            ensure!(
                !from_outside || words.contains(name) || family == Some(true),
                "{name}, needed by {}, has no line in docs/dependencies.md",
                text(package, "name")
            );
        }
    }
    Ok(())
}

#[test]
fn a_licence_expression_is_read_as_spdx_means_it() {
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "MIT/Apache-2.0",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(allowed(good, None), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "MPL-2.0"] {
        assert!(!allowed(bad, None), "{bad}");
    }
    assert!(allowed("MPL-2.0 OR LGPL-3.0-or-later", Some("MPL-2.0")));
}

#[test]
fn the_licence_text_is_there() -> anyhow::Result<()> {
    let text = fs::read_to_string(workspace::root().join("LICENSE")).context("LICENSE")?;
    ensure!(text.contains("Apache License") && text.contains("Version 2.0"));
    Ok(())
}
