//! `cargo board keys`.

use std::path::PathBuf;

use anyhow::bail;
use board_forge::Cache;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{Keys, Name, make};

/// Keys of the boot chain.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder of the keys [default: `umec/keys` in `$XDG_DATA_HOME` or `~/.local/share`].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// This machine's development keys instead, which QEMU and the tests use.
    #[arg(long, global = true, conflicts_with = "dir")]
    development: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make all keys, once.
    Make,
    /// Show each key: what it is for, its fingerprint, who holds it.
    Show {
        /// The form of the answer: table or json.
        #[arg(long, short, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
    /// Make a new key in place of another. Images signed by the old db key still start, unless it is revoked.
    Rotate {
        /// The key's name.
        name: Name,
        /// Refuse what the old key has signed (db alone).
        #[arg(long)]
        revoke: bool,
    },
    /// Put an EFI image into dbx: firmware built from now on refuses it.
    Revoke {
        /// The image, or its Authenticode SHA-256.
        image: String,
    },
}

/// A key as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: Name,
    purpose: &'static str,
    fingerprint: String,
    held: String,
    development: bool,
}

/// Runs the verb.
///
/// # Errors
/// What went wrong, as a sentence.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let folder = match &options.dir {
        Some(folder) => folder.clone(),
        None => Keys::default_folder()?,
    };
    let open = || {
        if options.development {
            Keys::development(&cache)
        } else {
            Keys::open(&folder)
        }
    };
    match &options.verb {
        Verb::Make if options.development => show(&Keys::development(&cache)?, "table"),
        Verb::Make => {
            let keys = make::make(&cache, &folder, false)?;
            show(&keys, "table")?;
            eprintln!(
                "The private keys are files in {}: keep a copy where nobody else gets at it.",
                keys.folder().display()
            );
            Ok(())
        }
        Verb::Show { output } => show(&open()?, output),
        Verb::Rotate { name, revoke } => {
            let keys = open()?;
            keys.rotate(&cache, *name, *revoke)?;
            println!("{name} is now {}", keys.fingerprint(*name)?);
            eprintln!("Next: {}.", name.consequence());
            Ok(())
        }
        Verb::Revoke { image } => {
            let hash = open()?.revoke(image)?;
            println!("{hash} is in dbx");
            eprintln!(
                "Next: build the firmware anew and install it; older firmware still starts this image."
            );
            Ok(())
        }
    }
}

fn show(keys: &Keys, output: &str) -> anyhow::Result<()> {
    let shown = Name::ALL
        .into_iter()
        .map(|name| {
            Ok(Shown {
                name,
                purpose: name.purpose(),
                fingerprint: keys.fingerprint(name)?,
                held: keys.signer(name).to_string(),
                development: keys.development,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    match output {
        "json" => println!("{}", serde_json::to_string_pretty(&shown)?),
        "table" => {
            for key in &shown {
                let Shown {
                    name,
                    purpose,
                    fingerprint,
                    held,
                    ..
                } = key;
                println!("{:<18} {purpose}", name.as_str());
                println!("{:<18}   {fingerprint}", "");
                println!("{:<18}   {held}", "");
            }
            if keys.development {
                println!("DEVELOPMENT: nobody keeps these keys safe.");
            }
        }
        other => bail!("there is no output {other}; there are table and json"),
    }
    Ok(())
}
