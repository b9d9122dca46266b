//! Puts everything into one tree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::Context;
use board_forge::{Debs, Digest, Made};

use super::list::List;
use super::pick::Files;
use super::{Kept, PROGRAMS};

/// Our units, where the programs' sources are, by their names in the image.
pub const UNITS: [(&str, &str); 7] = [
    ("edged.service", "edged/daemon/edged.service"),
    ("edged-worker.service", "edged/worker/edged-worker.service"),
    (
        "edged-guardian.service",
        "edged/guardian/edged-guardian.service",
    ),
    ("umec-slot.service", "edged/slot/umec-slot.service"),
    ("umec-slot.socket", "edged/slot/umec-slot.socket"),
    ("umec-stick@.service", "edged/stick/umec-stick@.service"),
    ("umec-stick.socket", "edged/stick/umec-stick.socket"),
];
/// Where units go.
const UNIT_FOLDER: &str = "usr/lib/systemd/system";
/// Empty folders: mount points, and what programs expect.
const FOLDERS: [&str; 7] = ["dev", "proc", "run", "sys", "tmp", "var", "usr/bin"];
/// /usr is merged, as everywhere in Debian.
const MERGED: [(&str, &str); 3] = [("bin", "usr/bin"), ("lib", "usr/lib"), ("sbin", "usr/sbin")];
/// For root's eyes only.
const PRIVATE: [&str; 1] = ["etc/shadow"];

/// Copies what was picked of the packages; tells what that was.
pub fn place(
    tree: &Path,
    files: &Files,
    list: &List,
    debs: &Debs,
    _unpacked: &Made,
) -> anyhow::Result<Vec<Kept>> {
    let mut kept: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for (path, (package, from)) in files {
        let to = tree.join(path);
        copy(from, &to)?;
        let entry = kept.entry(package).or_default();
        entry.0 += fs::symlink_metadata(&to)?.len();
        entry.1.push(path.clone());
    }
    for (link, target) in MERGED {
        symlink(target, tree.join(link))?;
    }
    for folder in FOLDERS {
        fs::create_dir_all(tree.join(folder))?;
    }
    let wanted: BTreeMap<&str, &str> = list
        .package
        .iter()
        .map(|one| (one.name.as_str(), one.why.as_str()))
        .collect();
    Ok(debs
        .packages
        .iter()
        .filter_map(|package| {
            let name = package.name.as_str();
            let (bytes, files) = kept.remove(name).or_else(|| {
                // Its certificates become one file of ours.
                (name == "ca-certificates").then(Default::default)
            })?;
            let why = wanted
                .get(name)
                .copied()
                .unwrap_or("a library that the others need");
            Some(Kept {
                package: package.clone(),
                why: why.to_owned(),
                bytes,
                files,
            })
        })
        .collect())
}

/// Copies our files, units and programs.
pub fn ours(tree: &Path, here: &Path, programs: &Path) -> anyhow::Result<()> {
    let files = here.join("files");
    super::unpack::walk(&files, &files, &mut |_, _| {})?;
    copy_folder(&files, tree)?;
    for (name, path) in UNITS {
        copy(
            &here.join("../..").join(path),
            &tree.join(UNIT_FOLDER).join(name),
        )?;
    }
    for (name, path) in PROGRAMS {
        copy(&programs.join(name), &tree.join(path))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&to)?;
            copy_folder(&entry.path(), &to)?;
        } else {
            copy(&entry.path(), &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    if from.is_symlink() {
        return symlink(fs::read_link(from)?, to).with_context(failed);
    }
    fs::copy(from, to).map(drop).with_context(failed)
}

/// Gives every file one of four modes: no set-user-id bit survives, and nothing is writable. Owners are set when the
/// tree is packed: all is root's.
pub fn settle(tree: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(tree)? {
        let path = entry?.path();
        let about = fs::symlink_metadata(&path)?;
        let mode = if about.is_symlink() {
            continue;
        } else if about.is_dir() {
            settle(&path)?;
            0o755
        } else if PRIVATE.iter().any(|name| path.ends_with(name)) {
            0o600
        } else if about.permissions().mode() & 0o111 != 0 {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Every path, one a line: kind, mode, size, digest or target.
pub fn listing(tree: &Path) -> anyhow::Result<String> {
    let mut names = BTreeMap::new();
    super::unpack::walk(tree, tree, &mut |name, path| {
        names.insert(name, path);
    })?;
    let mut text = String::new();
    for (name, path) in names {
        let about = fs::symlink_metadata(&path)?;
        let mode = about.permissions().mode() & 0o7777;
        if about.is_symlink() {
            writeln!(text, "link {name} -> {}", fs::read_link(&path)?.display())?;
        } else {
            let digest = Digest::of_file(&path)?;
            writeln!(text, "file {name} {mode:04o} {} {digest}", about.len())?;
        }
    }
    Ok(text)
}
