//! A seed file's instances, put into the node's state before edged first opens it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context;
use edged_config::Config;
use edged_mec::fixture::Seed;
use edged_store::Store;

use super::folder::EDGED_UID;

/// Reads `file` and plants it; `origin` is what clients reach the node by.
pub fn plant(file: &Path, config: &Config, origin: &str) -> anyhow::Result<()> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let seed: Seed =
        serde_json::from_str(&text).with_context(|| format!("{shown} is no seed file"))?;
    let database = config.node.database();
    let store = Store::open(&database)?;
    seed.plant(&store, origin)
        .with_context(|| format!("{shown} cannot be planted"))?;
    drop(store);
    // edged runs as a user of its own, and SQLite's companions are files beside the database.
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.clone().into_os_string();
        path.push(suffix);
        if Path::new(&path).exists() {
            chown(&path, Some(EDGED_UID), Some(EDGED_UID))?;
        }
    }
    Ok(())
}
