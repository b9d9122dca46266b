//! The programs of a box.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use board_forge::{Cache, DebianRoot, Made, run};
use clap::ValueEnum;

use crate::elf::{self, Linked};
use crate::workshop::Workshop;

/// Packages with a program each, and its name.
const SHARED: [(&str, &str); 6] = [
    ("edged", "edged"),
    ("edged-worker", "edged-worker"),
    ("edged-guardian", "edged-guardian"),
    ("edgectl", "edgectl"),
    ("edged-slot", "umec-slot"),
    ("edged-stick", "umec-stick"),
];
/// PID 1 of the RAM root, where there is no library yet.
const INIT: &str = "umec-init";
/// Cargo's configuration of the cross build, as the root sees it.
pub(crate) const CONFIG: &str = "/src/cross/cargo.toml";

/// How the programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// For tests and demonstrations: quick to make.
    Board,
    /// For boxes that ship: one link over everything.
    Ship,
}

impl Profile {
    /// The profile's name in Cargo.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Ship => "ship",
        }
    }
}

/// The programs, compiled for aarch64 and stripped.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The step that made them, for the inputs of other steps.
    pub made: Made,
    /// The daemon.
    pub edged: PathBuf,
    /// Containers and layers, as root.
    pub worker: PathBuf,
    /// Links and rules, with `CAP_NET_ADMIN`.
    pub guardian: PathBuf,
    /// The operator's command line.
    pub edgectl: PathBuf,
    /// PID 1 of the RAM root; static.
    pub init: PathBuf,
}

impl Programs {
    /// All of them, each with its name.
    pub fn all(&self) -> Vec<(&'static str, PathBuf)> {
        names().map(|name| (name, self.made.join(name))).collect()
    }
}

/// Of all programs.
fn names() -> impl Iterator<Item = &'static str> {
    SHARED.into_iter().map(|(_, name)| name).chain([INIT])
}

/// Compiles the programs in the cross root, unless these sources were compiled before.
///
/// # Errors
/// The root cannot be made, a dependency cannot be fetched, or something does not compile.
pub fn programs(cache: &Cache, profile: Profile) -> anyhow::Result<Programs> {
    let root = crate::root(cache)?;
    let shop = Workshop::open(cache)?;
    let inputs = shop
        .inputs()?
        .text("profile", profile.name())
        .root("cross-root", &root);
    let made = cache.step(&format!("programs-{}", profile.name()), &inputs, |out| {
        shop.vendor()?;
        compile(&shop, &root, profile)?;
        for name in names() {
            let program = shop.target(profile.name()).join(name);
            fs::copy(&program, out.join(name))
                .with_context(|| format!("cargo made no {}", program.display()))?;
        }
        Ok(())
    })?;
    Ok(Programs {
        edged: made.join("edged"),
        worker: made.join("edged-worker"),
        guardian: made.join("edged-guardian"),
        edgectl: made.join("edgectl"),
        init: made.join(INIT),
        made,
    })
}

fn compile(shop: &Workshop, root: &DebianRoot, profile: Profile) -> anyhow::Result<()> {
    let cargo = |verb: &str| -> anyhow::Result<_> {
        let mut command = shop.cargo(root)?;
        command.args([verb, "--locked", "--config", CONFIG]);
        command.args(["--profile", profile.name()]);
        Ok(command)
    };
    let mut shared = cargo("build")?;
    for (package, program) in SHARED {
        shared.args(["--package", package, "--bin", program]);
    }
    run(&mut shared)?;
    // The flag is this one program's: given to all, cargo would keep a second set of every dependency.
    run(cargo("rustc")?
        .args(["--package", INIT, "--bin", INIT])
        .args(["--", "-C", "target-feature=+crt-static"]))?;
    for name in names() {
        let linked = if name == INIT {
            Linked::Static
        } else {
            Linked::Shared
        };
        let path = format!(
            "/work/target/aarch64-unknown-linux-gnu/{}/{name}",
            profile.name()
        );
        elf::look(shop.command(root, elf::READER)?, &path, linked)?;
    }
    Ok(())
}
