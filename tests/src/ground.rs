//! What every box of the tests is made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use board::image::{Image, maker};
use board::process;
use board_forge::{Cache, DebianRoot, debs, tools};
use board_qemu::{Door, Parts};
use serde_json::Value;
use tempfile::TempDir;

/// What the application's page says.
pub const PAGE: &str = "a page out of a verified box";
/// The name that the archive gives its image.
pub const IMAGE: &str = "umec-test/page:1";

/// Built once.
#[derive(Debug)]
pub struct Ground {
    /// Where builds are kept.
    pub cache: Cache,
    /// QEMU, swtpm, mtools.
    pub root: DebianRoot,
    /// Flash, disk, keys.
    pub parts: Parts,
    /// An archive with the image of an application for 64-bit ARM.
    pub archive: PathBuf,
    /// An image that asks the box's OP-TEE whom it takes.
    pub probe: PathBuf,
    /// For everything else.
    pub folder: TempDir,
}

impl Ground {
    /// Builds all of it, or takes it from the cache. Whatever needs the network is made here: no test has one.
    pub fn build() -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        let parts = Parts::build(&cache)?;
        let root = tools(&cache)?;
        let probe = board_image::probe(&cache, &parts.keys)?;
        let folder = tempfile::tempdir()?;
        let archive = archive(&cache, folder.path())?;
        Ok(Self {
            cache,
            root,
            parts,
            archive,
            probe,
            folder,
        })
    }

    /// Gives a box the application's image, and before it the key of its maker. Returns what the box says of the image.
    pub fn load(&self, door: &Door) -> anyhow::Result<String> {
        let key = maker(&self.archive);
        door.told(&["trust", "keys", "add", "maker"], Some(&key))?;
        door.told(&["load"], Some(&self.archive))
    }

    /// The same, and runs it as `page` until it is ready.
    pub fn deploy(&self, door: &Door) -> anyhow::Result<()> {
        self.load(door)?;
        let words = ["run", "--name", "page", "--health-http", "8080/index.html"];
        door.told(&[&words[..], &[IMAGE]].concat(), None).map(drop)
    }
}

/// Whether a box's application `page` is ready; an error says what it is instead.
pub fn is_ready(door: &Door) -> anyhow::Result<()> {
    let shown = door.told(&["ps", "-o", "json"], None)?;
    let list: Vec<Value> = serde_json::from_str(&shown).context("`ps` is not understood")?;
    // Not by its table: whoever is unready has the word in it as well.
    let is =
        |one: &Value, key: &str, word: &str| one.get(key).and_then(Value::as_str) == Some(word);
    let ready = list
        .iter()
        .any(|one| is(one, "name", "page") && is(one, "state", "ready"));
    ensure!(ready, "the application is not ready: {shown}");
    Ok(())
}

/// Debian's busybox for arm64 as an image, signed: a box takes no other.
fn archive(cache: &Cache, folder: &Path) -> anyhow::Result<PathBuf> {
    let debs = debs(cache, &["trixie"], "arm64", &["busybox-static"])?;
    let (unpacked, tree) = (folder.join("unpacked"), folder.join("tree"));
    for package in &debs.packages {
        let deb = debs.folder.join(&package.file);
        process::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked))?;
    }
    std::fs::create_dir_all(tree.join("bin"))?;
    std::fs::create_dir_all(tree.join("srv"))?;
    std::fs::copy(unpacked.join("usr/bin/busybox"), tree.join("bin/busybox"))?;
    std::fs::write(tree.join("srv/index.html"), format!("{PAGE}\n"))?;
    let image = Image::new(&folder.join("layout"), "1")?;
    image.insert(&tree, "/")?;
    image.configure(&[
        "--architecture=arm64",
        "--config.user=65534:65534",
        "--config.entrypoint=/bin/busybox",
        "--config.cmd=httpd",
        "--config.cmd=-f",
        "--config.cmd=-p",
        "--config.cmd=8080",
        "--config.cmd=-h",
        "--config.cmd=/srv",
    ])?;
    let archive = folder.join("page.tar");
    image.signed_archive(&archive, IMAGE)?;
    Ok(archive)
}
