//! What the image's own units ask of systemd.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Files that are units.
const KINDS: [&str; 4] = [".service", ".socket", ".path", ".timer"];

/// Ours, as they lie in the image.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files/usr/lib/systemd/system")
}

/// What a unit says to such a key, word by word.
fn said<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let values = unit.lines().filter_map(|line| line.split_once('='));
    values
        .filter(|(name, _)| *name == key)
        .flat_map(|(_, value)| value.split_whitespace())
        .collect()
}

/// systemd starts what is missing by not starting it, with a line in a journal that nobody reads.
#[test]
fn a_unit_of_the_image_starts_only_what_is_in_the_image() -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut texts = Vec::new();
    // Those of our programs lie beside their sources.
    let programs = fs::read_dir(here.join("../../edged"))?.map(|entry| entry.map(|one| one.path()));
    let mut folders = programs.collect::<Result<Vec<_>, _>>()?;
    folders.push(folder());
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().context("a unit has no name")?;
            let name = name.to_string_lossy().into_owned();
            if path.is_file() && KINDS.iter().any(|kind| name.ends_with(kind)) {
                texts.push((name.clone(), fs::read_to_string(&path)?));
            }
            known.insert(name);
        }
    }
    let packages = fs::read_to_string(here.join("packages.toml"))?;
    let debians = packages
        .split('"')
        .filter_map(|path| path.rsplit_once("/systemd/system/"));
    known.extend(debians.map(|(_, name)| name.to_owned()));
    for (name, text) in &texts {
        for key in ["Requires", "Wants", "OnFailure", "Unit"] {
            for other in said(text, key) {
                ensure!(
                    known.contains(other),
                    "{name}: {key}={other} is not in the image"
                );
            }
        }
    }
    ensure!(
        texts.len() > 10,
        "this test is blind: only {} units",
        texts.len()
    );
    Ok(())
}

/// A start that hangs ends by its job's time; one that fails ends at once, and waits for nothing any more.
#[test]
fn a_box_whose_door_does_not_open_starts_again_however_its_start_ended() -> anyhow::Result<()> {
    let read = |name: &str| fs::read_to_string(folder().join(name)).context(name.to_owned());
    let door = read("umec-announce.service")?;
    ensure!(
        said(&door, "JobTimeoutAction") == ["reboot"],
        "a hang is for ever"
    );
    let again = said(&door, "OnFailure");
    let [again] = again.as_slice() else {
        anyhow::bail!("a failure is for ever: {again:?}");
    };
    let again = read(again)?;
    ensure!(said(&again, "Unit") == ["reboot.target"], "{again}");
    ensure!(said(&again, "OnActiveSec") == ["5min"], "{again}");
    // It must not wait for what hangs.
    ensure!(said(&again, "DefaultDependencies") == ["no"], "{again}");
    Ok(())
}
