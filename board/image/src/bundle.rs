//! The update bundle of an image.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use board_forge::{Cache, EPOCH, tools};
use board_keys::{Keys, Name};
use edged_update::{
    FORMAT, Hash, Manifest, Part, PartEntry, Release, Schema, UpdateKey, assemble, signed,
};

use crate::build::{Image, Request, Signing, build};
use crate::pe::Pe;

/// The line of `os-release` with the image's counting number.
const RELEASE: &str = "UMEC_RELEASE=";

/// Makes an image and writes its bundle.
///
/// # Errors
/// What a step says; the image says no number of itself; or the file cannot be written.
pub fn bundle(
    cache: &Cache,
    request: &Request,
    schema: Schema,
    to: &Path,
) -> anyhow::Result<Manifest> {
    let image = build(cache, request)?;
    let keys = match &request.keys {
        Some(folder) => Keys::open(folder)?,
        None => Keys::development(cache)?,
    };
    let files = Part::ALL.map(|part| (part, file(&image, part)));
    let key = fs::read_to_string(keys.public(Name::Update))?;
    let key = UpdateKey::from_pem(&key).context("the public key update is wrong")?;
    let parts = files
        .iter()
        .map(|(part, path)| entry(*part, path))
        .collect::<anyhow::Result<_>>()?;
    let manifest = Manifest {
        format: FORMAT,
        board: image.board.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        release: release(&fs::read(&image.uki)?)?,
        built: EPOCH,
        schema,
        key: key.fingerprint(),
        succession: keys.succession()?,
        parts,
    };
    let head = signed(&manifest)?;
    let signing = Signing {
        keys: &keys,
        tools: &tools(cache)?,
    };
    let signature = signing.sign(Name::Update, &head)?;
    if !key.verifies(&head, &signature) {
        bail!(
            "the private key update does not belong to {}",
            keys.public(Name::Update).display()
        );
    }
    write(to, &head, &signature, &files.map(|(_, path)| path))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(manifest)
}

fn file(image: &Image, part: Part) -> PathBuf {
    match part {
        Part::Uki => image.uki.clone(),
        Part::Golden => image.golden.clone(),
        Part::Sbom => image.sbom.clone(),
    }
}

fn entry(name: Part, path: &Path) -> anyhow::Result<PartEntry> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(PartEntry {
        name,
        size: u64::try_from(bytes.len())?,
        sha256: Hash::of(&bytes),
    })
}

/// The number that an image says of itself: what a box will compare.
fn release(uki: &[u8]) -> anyhow::Result<Release> {
    let os_release = Pe::parse(uki)?
        .section(".osrel")
        .context("the image has no section .osrel")?;
    let text = String::from_utf8_lossy(os_release);
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix(RELEASE))
        .with_context(|| format!("the image's os-release has no line {RELEASE}N"))?;
    let number = number.trim_end_matches('\0').parse();
    Ok(Release::new(number.with_context(|| {
        format!("the image's line {RELEASE}N is no number")
    })?))
}

/// Written aside and renamed: a bundle that is there is whole.
fn write(to: &Path, head: &[u8], signature: &[u8], parts: &[PathBuf; 3]) -> anyhow::Result<()> {
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let aside = tempfile::Builder::new()
        .prefix(".update-")
        .tempfile_in(folder)?;
    let mut files = parts
        .iter()
        .map(File::open)
        .collect::<io::Result<Vec<_>>>()?;
    let mut readers: Vec<&mut dyn io::Read> = Vec::new();
    for file in &mut files {
        readers.push(file);
    }
    let mut out = BufWriter::new(aside.as_file());
    assemble(&mut out, head, signature, &mut readers)?;
    out.flush()?;
    drop(out);
    aside.persist(to)?;
    Ok(())
}
