//! The user space of a box: Debian's programs, ours, and the files that make them one system.
//!
//! [`list`] says what is taken of which package; [`unpack`] opens the packages without running anything of them;
//! [`pick`] follows from what is kept to the shared libraries it needs; [`place`] puts everything into one tree with our
//! files; [`pack`] makes the read-only root and the RAM root of it. Nothing is in the image that no list names.

pub(crate) mod cpio;
mod elf;
mod generate;
mod list;
mod pack;
mod pick;
mod place;
mod unpack;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_forge::{Cache, Digest, Inputs, Package};
use serde::{Deserialize, Serialize};

use crate::{inventory, sbom};

/// Debian's name of the boxes' processors.
const ARCHITECTURE: &str = "arm64";
/// Our programs and where they go. Not `edgectl`: it runs where the operator is, and nothing in a box would start it.
pub const PROGRAMS: [(&str, &str); 6] = [
    ("edged", "usr/bin/edged"),
    ("edged-worker", "usr/bin/edged-worker"),
    ("edged-guardian", "usr/bin/edged-guardian"),
    ("umec-init", "usr/lib/umec/umec-init"),
    ("umec-slot", "usr/lib/umec/umec-slot"),
    ("umec-stick", "usr/lib/umec/umec-stick"),
];

/// What an image is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// `qemu-aarch64` or `rpi4`.
    pub board: String,
    /// The image's version.
    pub version: String,
    /// Its number: releases count, and a box never goes back.
    pub number: u64,
    /// Seconds after which a trial that nobody ends is ended by a reset; nothing: as umec-init has it.
    pub trial: Option<u64>,
    /// The public key of updates, PEM.
    pub update_key: String,
    /// First label of the box's zone until it is commissioned.
    pub site: String,
    /// Built with keys that everybody has.
    pub development: bool,
    /// Keep data without encryption: the box has no TPM.
    pub without_tpm: bool,
    /// Public keys in OpenSSH's format that may commission a box, and do nothing else.
    pub commission_keys: Vec<String>,
    /// Resolvers of names outside the zone, for applications.
    pub upstreams: Vec<SocketAddr>,
}

/// What was taken of a package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The package.
    pub package: Package,
    /// What it is for.
    pub why: String,
    /// Bytes in the tree.
    pub bytes: u64,
    /// Paths, as in `usr/bin/umount`.
    pub files: Vec<String>,
}

/// A user space, packed.
#[derive(Debug, Clone)]
pub struct UserSpace {
    /// The read-only root, EROFS.
    pub root: PathBuf,
    /// The RAM root: PID 1 and the root in a cpio archive. Not compressed again: the root within is.
    pub initrd: PathBuf,
    /// Every path of the root with its kind, mode, size and digest, one a line.
    pub tree: PathBuf,
    /// Software bill of materials, SPDX 2.3 in JSON.
    pub sbom: PathBuf,
    /// Licences: a table of the packages and crates, and the packages' texts.
    pub licences: PathBuf,
    /// Sizes by package.
    pub sizes: PathBuf,
    /// `os-release` of the image, for the unified kernel image.
    pub os_release: PathBuf,
    /// The Debian packages of which something is in the root.
    pub packages: Vec<Kept>,
    /// The hash of what it was made from.
    pub key: Digest,
}

/// Makes the user space. `programs` is the folder with our programs for the box.
///
/// # Errors
/// A package is not there, something needed is in no package, or the tree is not the reviewed one
/// (`board/image/inventory.toml`).
pub fn userspace(cache: &Cache, programs: &Path, settings: &Settings) -> anyhow::Result<UserSpace> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = list::List::read(&here.join("packages.toml"))?;
    let suites: Vec<&str> = list.suites.iter().map(String::as_str).collect();
    let names: Vec<&str> = list.package.iter().map(|one| one.name.as_str()).collect();
    let debs = board_forge::debs(cache, &suites, ARCHITECTURE, &names)?;
    let unpacked = unpack::unpack(cache, &debs)?;
    let tools = board_forge::tools(cache)?;
    let mut inputs = Inputs::new()
        .made("packages", &unpacked)
        .root("tools", &tools)
        .file("list", &here.join("packages.toml"))?
        .file("inventory", &here.join("inventory.toml"))?
        .folder("files", &here.join("files"))?
        .folder("recipe", &here.join("src/userspace"))?
        .text("lists", sbom::RECIPE)
        .file("crates", &here.join("../../Cargo.lock"))?
        .text("settings", &serde_json::to_string(settings)?);
    for (name, _) in PROGRAMS {
        inputs = inputs
            .file(name, &programs.join(name))
            .with_context(|| format!("{name} was not built for the box"))?;
    }
    for (name, path) in place::UNITS {
        inputs = inputs.file(name, &here.join("../..").join(path))?;
    }
    let made = cache.step("userspace", &inputs, |out| {
        let files = pick::pick(&list, &debs, &unpacked, programs)?;
        let tree = out.join("tree");
        let packages = place::place(&tree, &files, &list, &debs, &unpacked)?;
        place::ours(&tree, here, programs)?;
        generate::write(&tree, &unpacked, settings)?;
        place::settle(&tree)?;
        fs::write(out.join("tree.txt"), place::listing(&tree)?)?;
        fs::write(
            out.join("packages.json"),
            serde_json::to_vec_pretty(&packages)?,
        )?;
        fs::write(out.join("sizes.txt"), sbom::sizes(&tree, &packages)?)?;
        fs::copy(tree.join("usr/lib/os-release"), out.join("os-release"))?;
        inventory::check(&tree, &here.join("inventory.toml"))?;
        sbom::write(out, here, &packages, &unpacked, settings)?;
        pack::pack(out, &tree, &programs.join("umec-init"), &tools)?;
        fs::remove_dir_all(&tree).context("cannot remove the tree")
    })?;
    let packages = serde_json::from_slice(&fs::read(made.join("packages.json"))?)?;
    Ok(UserSpace {
        root: made.join("root.erofs"),
        initrd: made.join("initrd.cpio"),
        tree: made.join("tree.txt"),
        sbom: made.join("sbom.spdx.json"),
        licences: made.join("licences.txt"),
        sizes: made.join("sizes.txt"),
        os_release: made.join("os-release"),
        packages,
        key: made.key,
    })
}
