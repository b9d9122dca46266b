//! Debian packages that go into an image: resolved, downloaded, listed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{Cache, Digest, Inputs, Mirror, output, run};

/// How long a choice of versions stands before the mirror is asked anew: security fixes arrive by rebuilding.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// The list within a step's outputs.
const LIST: &str = "packages.json";
/// Keys of Debian's releases.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package as it was downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The source package it was built from.
    pub source: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// The file's name within [`Debs::folder`].
    pub file: String,
}

/// Packages with all they depend on.
#[derive(Debug, Clone)]
pub struct Debs {
    /// Where the files are.
    pub folder: PathBuf,
    /// In the order of names.
    pub packages: Vec<Package>,
    /// The hash of all files: what a step that uses them takes for its input.
    pub identity: Digest,
}

/// Downloads packages of a release for an architecture with everything they depend on (not what they recommend).
/// Nothing of the machine's own apt is changed; its mirrors are used. `name/suite` takes a package from another suite
/// of `suites`; the first is the default.
///
/// # Errors
/// apt's, with its last lines.
pub fn debs(
    cache: &Cache,
    suites: &[&str],
    architecture: &str,
    names: &[&str],
) -> anyhow::Result<Debs> {
    let week = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?
        .as_secs()
        / FRESH.as_secs();
    let inputs = Inputs::new()
        .text("suites", &suites.join(","))
        .text("architecture", architecture)
        .text("names", &names.join(","))
        .text("week", &week.to_string());
    let made = cache.step("debs", &inputs, |out| {
        download(out, suites, architecture, names)
    })?;
    let text = fs::read(made.join(LIST))?;
    Ok(Debs {
        packages: serde_json::from_slice(&text)?,
        identity: Digest::of(&text),
        folder: made.path,
    })
}

fn download(out: &Path, suites: &[&str], architecture: &str, names: &[&str]) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);
    for folder in ["lists/partial", "archives/partial", "parts", "trusted"] {
        fs::create_dir_all(at(folder))?;
    }
    fs::write(at("status"), "")?;
    let mirror = Mirror::of_machine()?;
    // A suite's list may be older than its own bound on a mirror that lags; signatures still hold.
    let options = format!("[signed-by={KEYRING} check-valid-until=no]");
    let lines: Vec<String> = suites
        .iter()
        .flat_map(|suite| mirror.lines(suite, &options))
        .collect();
    fs::write(at("sources.list"), lines.join("\n") + "\n")?;
    let Some(default) = suites.first() else {
        bail!("no suite was named");
    };
    // By itself apt is content with what it has of yesterday, or with nothing, where a mirror does not answer.
    fs::write(
        at("apt.conf"),
        format!(
            "Dir::Etc::sourcelist \"{sources}\";\nDir::Etc::sourceparts \"{parts}\";\n\
             Dir::Etc::preferences \"{none}\";\nDir::Etc::preferencesparts \"{parts}\";\n\
             Dir::State \"{state}\";\nDir::State::status \"{status}\";\nDir::State::lists \"{lists}\";\n\
             Dir::Cache \"{state}\";\nDir::Cache::archives \"{archives}\";\n\
             APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
             APT::Default-Release \"{default}\";\nAPT::Install-Recommends \"false\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             APT::Update::Error-Mode \"any\";\n",
            sources = at("sources.list").display(),
            parts = at("parts").display(),
            none = at("no-preferences").display(),
            state = scratch.path().display(),
            status = at("status").display(),
            lists = at("lists").display(),
            archives = at("archives").display(),
        ),
    )?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", at("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        run(&mut command)
    };
    apt(&["update", "-q"])?;
    let mut words = vec!["install", "-q", "-y", "--download-only"];
    words.extend(names);
    apt(&words)?;
    let mut packages = Vec::new();
    for entry in fs::read_dir(at("archives"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|kind| kind != "deb") {
            continue;
        }
        let package = describe(&path)?;
        fs::copy(&path, out.join(&package.file))?;
        packages.push(package);
    }
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(fs::write(
        out.join(LIST),
        serde_json::to_vec_pretty(&packages)?,
    )?)
}

fn describe(path: &Path) -> anyhow::Result<Package> {
    let text = output(
        Command::new("dpkg-deb")
            .args(["--show", "--showformat"])
            .arg("${Package}\t${Version}\t${Architecture}\t${source:Package}")
            .arg(path),
    )?;
    let mut fields = text.split('\t').map(str::to_owned);
    let mut field = || {
        fields
            .next()
            .with_context(|| format!("{} is no Debian package", path.display()))
    };
    let (name, version, architecture, source) = (field()?, field()?, field()?, field()?);
    Ok(Package {
        file: format!("{name}_{architecture}.deb"),
        sha256: Digest::of_file(path)?,
        name,
        version,
        architecture,
        source,
    })
}
