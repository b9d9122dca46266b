//! The aarch64 cross root and what is compiled in it: `cargo board cross`.
//!
//! The root is a Debian with a compiler, made once (`cross/packages.txt`). Cargo runs in it without network, over a
//! copy of the sources at a fixed place, with the configuration in `cross/cargo.toml`. So the programs depend on the
//! sources, Cargo.lock and the versions of the root's packages, and not on the machine, its user or its folders.
//!
//! Refused: a program that is not for aarch64, may be moved to a fixed address, keeps writable relocations, or needs a
//! library that the image has not.

mod application;
mod blackbox;
mod elf;
mod programs;
mod root;
mod units;
mod workshop;

use std::fs;

use board_forge::Cache;

pub use application::{application, lone};
pub use blackbox::{BlackBox, black_box};
pub use elf::LIBRARIES;
pub use programs::{Profile, Programs, programs};
pub use root::root;
pub use units::{LEFT_OUT, run_units};

/// What `cargo board cross` is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Compile as boxes that ship are compiled: smaller, and minutes more.
    #[arg(long)]
    release: bool,
    /// Run the aarch64 unit tests under qemu-user instead.
    #[arg(long, conflicts_with = "release")]
    test: bool,
}

/// Compiles the programs of a box for aarch64 and says where they are, or runs the unit tests.
///
/// # Errors
/// See [`programs`] and [`run_units`].
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    if options.test {
        let passed = run_units(&cache)?;
        println!("{passed} unit tests passed on aarch64 (qemu-user). Left out:");
        for (name, why) in LEFT_OUT {
            println!("  {name:<16} {why}");
        }
        return Ok(());
    }
    let profile = if options.release {
        Profile::Ship
    } else {
        Profile::Board
    };
    for (_, path) in programs(&cache, profile)?.all() {
        println!("{:>9} {}", fs::metadata(&path)?.len(), path.display());
    }
    Ok(())
}
