//! `cargo board firmware`.

use std::path::PathBuf;

use board_forge::{Cache, Digest};
use board_keys::Keys;
use clap::{Args, ValueEnum};

use crate::{Pi, qemu_aarch64, raspberry};

/// Build the firmware of a board.
#[derive(Debug, Args)]
pub struct Options {
    /// The board.
    #[arg(long, default_value = "qemu-aarch64")]
    board: Board,
    /// The folder of the keys [default: this machine's development keys].
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Board {
    QemuAarch64,
    Rpi3,
    Rpi4,
    Rpi5,
}

/// Builds, and prints each file with its SHA-256.
///
/// # Errors
/// The build's.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let keys = match &options.keys {
        Some(folder) => Keys::open(folder)?,
        None => Keys::development(&cache)?,
    };
    let files = match options.board {
        Board::QemuAarch64 => {
            let made = qemu_aarch64(&cache, &keys)?;
            vec![
                made.flash,
                made.bl1,
                made.bl2,
                made.bl31,
                made.tee_header,
                made.tee_pager,
                made.u_boot,
            ]
        }
        Board::Rpi3 => pi(&cache, &keys, Pi::Three)?,
        Board::Rpi4 => pi(&cache, &keys, Pi::Four)?,
        Board::Rpi5 => pi(&cache, &keys, Pi::Five)?,
    };
    for file in files {
        println!("{}  {}", Digest::of_file(&file)?, file.display());
    }
    if keys.development {
        println!("DEVELOPMENT: nobody keeps the keys of this firmware safe.");
    }
    Ok(())
}

fn pi(cache: &Cache, keys: &Keys, model: Pi) -> anyhow::Result<Vec<PathBuf>> {
    let made = raspberry(cache, keys, model)?;
    Ok([Some(made.u_boot), made.bl31]
        .into_iter()
        .flatten()
        .collect())
}
