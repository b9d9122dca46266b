//! Sample applications for aarch64: each is one program without any shared library, and so an image by itself.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use board_forge::{Bind, Cache, Inputs, run};

use crate::elf::{self, Linked};
use crate::programs::CONFIG;
use crate::workshop::{Workshop, checkout};
use crate::{Profile, root};

/// Where the applications are, each in a folder with its package's name.
const APPLICATIONS: &str = "tests/apps";
/// How a program that needs no crate is compiled: as cargo compiles the others, and static.
const LONE: [&str; 7] = [
    "--edition=2024",
    "--target=aarch64-unknown-linux-gnu",
    "-Clinker=aarch64-linux-gnu-gcc",
    "-Ctarget-feature=+crt-static",
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cstrip=symbols",
];

/// Compiles an application of `tests/apps` for aarch64, unless it was compiled before, and says where it is.
///
/// # Errors
/// A dependency cannot be fetched, or it does not compile.
pub fn application(cache: &Cache, package: &str) -> anyhow::Result<PathBuf> {
    let root = root(cache)?;
    let shop = Workshop::open(cache)?;
    let folder = format!("{APPLICATIONS}/{package}");
    // Of the workspace it takes its profiles and versions, and none of the crates.
    let mut inputs = Inputs::new()
        .folder(&folder, &shop.source(&folder))?
        .root("cross-root", &root);
    for file in ["cross/cargo.toml", "Cargo.toml", "Cargo.lock"] {
        inputs = inputs.file(file, &shop.source(file))?;
    }
    // The profile of a box's programs: what both depend on is compiled once.
    let profile = Profile::Board.name();
    let made = cache.step(package, &inputs, |out| {
        shop.vendor()?;
        run(shop
            .cargo(&root)?
            .args(["rustc", "--locked", "--config", CONFIG])
            .args(["--profile", profile, "--package", package, "--bin", package])
            .args(["--", "-C", "target-feature=+crt-static"]))?;
        let path = format!("/work/target/aarch64-unknown-linux-gnu/{profile}/{package}");
        elf::look(shop.command(&root, elf::READER)?, &path, Linked::Static)?;
        let program = shop.target(profile).join(package);
        fs::copy(&program, out.join(package))
            .map(drop)
            .with_context(|| format!("cargo made no {}", program.display()))
    })?;
    Ok(made.join(package))
}

/// Compiles a program of `tests/apps` that is one file and needs no crate, so that nothing but this file decides whether
/// it has to be made anew.
///
/// # Errors
/// It does not compile.
pub fn lone(cache: &Cache, name: &str) -> anyhow::Result<PathBuf> {
    let root = root(cache)?;
    let folder = checkout().join(APPLICATIONS).join(name);
    let inputs = Inputs::new()
        .file("source", &folder.join("main.rs"))?
        .text("options", &LONE.join(" "))
        .root("cross-root", &root);
    let made = cache.step(name, &inputs, |out| {
        let binds = [Bind::read(&folder, "/src"), Bind::write(out, "/work/out")];
        let mut compile = root.command("/src", &binds, "rustc")?;
        compile
            .args(LONE)
            .args(["--crate-name", &name.replace('-', "_")]);
        run(compile.args(["-o", &format!("/work/out/{name}"), "main.rs"]))?;
        let readelf = root.command("/work/out", &binds, elf::READER)?;
        elf::look(readelf, name, Linked::Static)
    })?;
    Ok(made.join(name))
}
