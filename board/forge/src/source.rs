//! Files of Debian's source packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::{Cache, Digest, Inputs, Mirror, run};

/// apt's own fetcher: it knows the machine's proxies and certificates.
const FETCHER: &str = "/usr/lib/apt/apt-helper";

/// A file of a source package, pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path below `pool/` of any mirror, such as `main/u/u-boot/u-boot_2025.01.orig.tar.bz2`.
    pub pool: &'static str,
    /// What it must be.
    pub sha256: &'static str,
}

/// The file, fetched once. It stays in the cache: a mirror keeps a version only while some release has it.
///
/// # Errors
/// The mirror does not have it, or has something else under its name.
pub fn source(cache: &Cache, file: &SourceFile) -> anyhow::Result<PathBuf> {
    let Some(name) = file.pool.rsplit('/').next() else {
        bail!("{} names no file", file.pool);
    };
    let inputs = Inputs::new().text("name", name).text("sha256", file.sha256);
    let made = cache.step(&format!("source/{name}"), &inputs, |out| {
        let mirror = Mirror::of_machine()?;
        let to = out.join(name);
        run(Command::new(FETCHER)
            .args(["-o", "APT::Sandbox::User=root", "download-file"])
            .arg(format!("{}/pool/{}", mirror.main, file.pool))
            .arg(&to)
            .arg(format!("SHA256:{}", file.sha256)))
        .with_context(|| {
            format!("cannot fetch {}; if the mirror dropped this version, copy the file of SHA-256 {} from another mirror or a snapshot to the mirror's place", file.pool, file.sha256)
        })?;
        let found = Digest::of_file(&to)?;
        if found.as_str() != file.sha256 {
            fs::remove_file(&to)?;
            bail!("{name} has SHA-256 {found}, not {}; it is not used", file.sha256);
        }
        Ok(())
    })?;
    Ok(made.join(name))
}
