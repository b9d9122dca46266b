//! `cargo board image`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use board_forge::{Cache, Digest};
use clap::ValueEnum;
use serde::Serialize;

use crate::board::Board;
use crate::build::{Image, Request, build};
use crate::pe::Pe;

/// The sections of the image that are worth a line of their own, and what they are.
const SECTIONS: [(&str, &str); 2] = [(".linux", "kernel, signed"), (".initrd", "RAM root")];
/// The disk's name in the output folder.
const DISK: &str = "disk.img";
/// What a check of reproducibility takes from the cache: what was fetched, what makes the rest, and what takes long (each
/// has its own hash of inputs). Everything else is made anew.
const TAKEN: [&str; 7] = [
    "tool-root",
    "cross-root",
    "source",
    "debs",
    "kernel",
    "programs-board",
    "programs-ship",
];

/// Of what an image is made: words of every verb that makes one.
#[derive(Debug, Clone, clap::Args)]
pub struct Ingredients {
    /// The board
    #[arg(long, default_value = "qemu-aarch64")]
    board: Board,
    /// Programs as they ship (slow to link); without it as tests use them
    #[arg(long)]
    release: bool,
    /// The keys' folder; without it this machine's development keys, and an image that says so
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl Ingredients {
    /// The image with a number.
    pub fn request(&self, number: u64) -> Request {
        Request {
            keys: self.keys.clone(),
            release: self.release,
            number,
            ..Request::development(self.board)
        }
    }
}

/// Words of `cargo board image`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    ingredients: Ingredients,
    /// The image's number: releases count, and a box never goes back to a lower one
    #[arg(long, value_name = "N", default_value_t = 1)]
    number: u64,
    /// Where everything is written to
    #[arg(long, value_name = "DIR", default_value = "target/umec-image")]
    output: PathBuf,
    /// Form of the answer
    #[arg(long, default_value = "table")]
    format: Format,
    /// Make the image a second time, from nothing, in another folder, and compare
    #[arg(long)]
    check_reproducible: bool,
}

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A file that was made.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    board: &'static str,
    development: bool,
    key: Digest,
    seconds: f32,
    files: Vec<Line>,
}

/// Makes an image and says what it is.
///
/// # Errors
/// What a step says.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let cache = Cache::open()?;
    let request = options.ingredients.request(options.number);
    let image = build(&cache, &request)?;
    fs::create_dir_all(&options.output)
        .with_context(|| format!("cannot make {}", options.output.display()))?;
    let files = write(&image, &options.output)?;
    if options.check_reproducible {
        again(&cache, &request, &files)?;
    }
    let answer = Answer {
        board: image.board.name(),
        development: image.development,
        key: image.key.clone(),
        seconds: begun.elapsed().as_secs_f32(),
        files,
    };
    match options.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&answer)?),
        Format::Table => show(&answer),
    }
    Ok(())
}

/// Copies everything into the folder, and lists it: whole files, and the parts that the image's size comes from.
fn write(image: &Image, to: &Path) -> anyhow::Result<Vec<Line>> {
    let disk = to.join(DISK);
    image.write_disk(&disk)?;
    let mut lines = vec![Line {
        what: "disk, sparse".to_owned(),
        bytes: fs::metadata(&disk)?.len(),
        sha256: Some(Digest::of_file(&disk)?),
        path: Some(disk),
    }];
    let mut copy = |what: &str, from: &Path, name: &str| {
        let path = to.join(name);
        fs::copy(from, &path).with_context(|| format!("cannot write {}", path.display()))?;
        lines.push(Line {
            what: what.to_owned(),
            bytes: fs::metadata(&path)?.len(),
            sha256: Some(Digest::of_file(&path)?),
            path: Some(path),
        });
        anyhow::Ok(())
    };
    if let Some(flash) = &image.flash {
        copy("flash: TF-A, OP-TEE, U-Boot", flash, "flash.bin")?;
    }
    copy("unified kernel image", &image.uki, "umec.efi")?;
    copy("foretold PCRs", &image.golden, "golden.json")?;
    copy("bill of materials, SPDX", &image.sbom, "sbom.spdx.json")?;
    copy("licences", &image.licences, "licences.txt")?;
    copy("every path of the root", &image.inventory, "tree.txt")?;
    copy("sizes by package", &image.sizes, "sizes.txt")?;
    lines.extend(parts(image)?);
    Ok(lines)
}

fn parts(image: &Image) -> anyhow::Result<Vec<Line>> {
    let uki = fs::read(&image.uki)?;
    let pe = Pe::parse(&uki)?;
    let mut lines = Vec::new();
    let mut part = |what: &str, bytes: u64| {
        lines.push(Line {
            what: format!("  {what}"),
            bytes,
            sha256: None,
            path: None,
        });
    };
    for (section, what) in SECTIONS {
        let content = pe
            .section(section)
            .with_context(|| format!("the image has no section {section}"))?;
        part(what, u64::try_from(content.len())?);
    }
    part(
        "of which the read-only root",
        fs::metadata(&image.parts.user_space.root)?.len(),
    );
    Ok(lines)
}

/// Makes it again where nothing of ours is, and compares file by file.
fn again(cache: &Cache, request: &Request, files: &[Line]) -> anyhow::Result<()> {
    let there = cache.workshop("reproducible")?;
    let shelves = there
        .parent()
        .and_then(Path::parent)
        .context("the cache is no folder")?;
    let folder = tempfile::Builder::new()
        .prefix("image-")
        .tempdir_in(&there)?;
    let other = folder.path().join("cache");
    fs::create_dir_all(&other)?;
    for name in TAKEN.iter().filter(|name| shelves.join(name).exists()) {
        std::os::unix::fs::symlink(shelves.join(name), other.join(name))?;
    }
    // The same keys: this machine's development keys are in the first cache.
    let mut request = request.clone();
    if request.keys.is_none() {
        request.keys = Some(board_keys::Keys::development(cache)?.folder().to_owned());
    }
    let second = folder.path().join("image");
    fs::create_dir_all(&second)?;
    let lines = write(&build(&Cache::at(&other)?, &request)?, &second)?;
    for (first, second) in files.iter().zip(&lines) {
        if first.sha256 != second.sha256 || first.bytes != second.bytes {
            bail!(
                "made a second time, the {} is another one; the image is not reproducible",
                first.what
            );
        }
    }
    eprintln!("made a second time in another folder, every file is the same");
    Ok(())
}

fn show(answer: &Answer) {
    println!("{:<34} {:>12}  SHA-256, where", answer.board, "bytes");
    for line in &answer.files {
        let hash = line
            .sha256
            .as_ref()
            .and_then(|hash| hash.as_str().get(..16));
        let path = line.path.as_ref().map(|path| path.display().to_string());
        println!(
            "{:<34} {:>12}  {:<16}  {}",
            line.what,
            line.bytes,
            hash.unwrap_or_default(),
            path.unwrap_or_default()
        );
    }
    println!("in {:.1} s", answer.seconds);
    if answer.development {
        println!("DEVELOPMENT: nobody keeps the keys of this image safe.");
    }
}
