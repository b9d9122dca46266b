//! `cargo board update`: an image as a signed bundle that a running box takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use board_forge::Cache;
use board_image::{Ingredients, Request, bundle};
use clap::Args;
use edged_update::{Manifest, Schema};

/// Words of `cargo board update`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    ingredients: Ingredients,
    /// The image's number: higher than what the box has confirmed
    #[arg(long, value_name = "N", default_value_t = 2)]
    number: u64,
    /// The bundle
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Makes the bundle of an image of these sources.
///
/// # Errors
/// What a step says.
pub fn make(cache: &Cache, request: &Request, to: &Path) -> anyhow::Result<Manifest> {
    // The programs in the image are of these sources: what they make of the database is known here.
    let schema = Schema {
        writes: edged_store::SCHEMA,
        reads: edged_store::SCHEMA_READS,
    };
    bundle(cache, request, schema, to)
}

/// Makes the bundle and says what it is.
///
/// # Errors
/// What a step says.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let request = options.ingredients.request(options.number);
    let manifest = make(&Cache::open()?, &request, &options.output)?;
    println!(
        "{}: release {} for {}, {} bytes of parts, signed by update {}",
        options.output.display(),
        manifest.release,
        manifest.board,
        manifest.size(),
        manifest.key
    );
    println!("in {:.1} s", begun.elapsed().as_secs_f32());
    Ok(())
}
