//! What is missing or wrong is said in a sentence, and healed without a restart.

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use board::client::{signal, until};
use board::process;
use board::registry::Registry;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON, programs};

/// MiB of the small disk: the programs of a debug build take about 160.
const DISK: u32 = 256;
/// MiB that are left on it when an image of twice as many comes.
const ROOM: u32 = 16;

#[test]
fn a_bad_configuration_is_named_by_line_and_ends_the_program() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("edged.toml");
    fs::write(
        &file,
        "version = 1\n[node]\nstate = \"/s\"\nrun = \"/r\"\nsiet = \"x\"\n",
    )?;
    for program in ["edged", "edged-worker", "edged-guardian"] {
        let answer = Command::new(programs()?.join(program))
            .arg("--config")
            .arg(&file)
            .output()?;
        let told = String::from_utf8_lossy(&answer.stderr).into_owned();
        ensure!(!answer.status.success(), "{program} took it");
        ensure!(
            told.contains("siet") && told.contains("line 5"),
            "{program}: {told}"
        );
    }
    Ok(())
}

#[test]
fn a_missing_registry_is_named_and_a_later_one_is_used() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    let Lab {
        node,
        registry,
        folder,
    } = lab;
    let port: u16 = registry
        .address
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    drop(registry);
    let error = node
        .verb(&["pull", &image])
        .map(drop)
        .unwrap_err()
        .to_string();
    ensure!(
        error.contains(&format!("127.0.0.1:{port}")),
        "the registry is not named: {error}"
    );
    ensure!(node.verb(&["status"]).is_ok(), "the node suffers");
    let registry = Registry::start_at(&folder.path().join("registry"), port)?;
    node.verb(&["pull", &image])
        .context("the registry is back")?;
    drop(registry);
    node.stop()
}

#[test]
fn an_image_that_does_not_exist_is_named() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let missing = format!("{}/no/such:1", lab.registry.address);
    let error = lab
        .node
        .verb(&["run", "--name", "x", &missing])
        .map(drop)
        .unwrap_err()
        .to_string();
    ensure!(error.contains("no/such"), "{error}");
    ensure!(
        !lab.node.verb(&["ps"])?.contains("no/such"),
        "half an application is left"
    );
    lab.node.stop()
}

#[test]
fn without_a_broker_the_node_says_so_and_heals_when_it_is_back() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    let broker = lab.node.pid("broker")?;
    signal(broker, rustix::process::Signal::STOP)?;
    lab.run("web", &["--detach"], &web)?;
    ensure!(
        lab.node.verb(&["ps"])?.contains("web"),
        "it is not even listed"
    );
    signal(broker, rustix::process::Signal::CONT)?;
    lab.wait_ready("web")?;
    lab.node.stop()
}

#[test]
fn a_full_disk_refuses_the_image_and_keeps_the_node() -> anyhow::Result<()> {
    let disk = Disk::new(DISK)?;
    let path = disk.folder.path().join("node");
    let lab = Lab::start_with(|command| {
        command.arg("--dir").arg(&path);
    })?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    lab.run("web", &["--health-http", "8080/"], &web)?;
    disk.fill(ROOM)?;
    let big = lab.folder.path().join("big.bin");
    process::output(
        Command::new("dd")
            .args(["if=/dev/urandom", "bs=1M", &format!("count={}", 2 * ROOM)])
            .arg(format!("of={}", big.display())),
    )?;
    let image = lab.image("big", |layout| {
        let image = board::image::Image::new(layout, "1")?;
        image.insert(&big, "/big")?;
        Ok(image)
    })?;
    let error = lab
        .node
        .verb(&["pull", &image])
        .map(drop)
        .unwrap_err()
        .to_string();
    ensure!(error.contains("space"), "not named as a full disk: {error}");
    ensure!(
        lab.get("web", 8080, "/")? == "busybox speaking\n",
        "the application suffers"
    );
    until(SOON, || lab.node.verb(&["ps"]).map(Some))?;
    lab.node.verb(&["rm", "--force", "web"])?;
    lab.node.stop()
}

/// A small file system in memory.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(mebibytes: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        process::output(
            Command::new("mount")
                .args([
                    "-t",
                    "tmpfs",
                    "-o",
                    &format!("size={mebibytes}m,mode=755"),
                    "none",
                ])
                .arg(folder.path()),
        )?;
        Ok(Self { folder })
    }

    /// Takes all room but so many mebibytes; a debug build may leave less by itself.
    fn fill(&self, mebibytes: u32) -> anyhow::Result<()> {
        let about = rustix::fs::statvfs(self.folder.path())?;
        let free = about.f_bavail * about.f_frsize;
        let size = free.saturating_sub(u64::from(mebibytes) << 20);
        if size == 0 {
            return Ok(());
        }
        let file = std::fs::File::create(self.folder.path().join("filler"))?;
        Ok(rustix::fs::fallocate(
            file,
            rustix::fs::FallocateFlags::empty(),
            0,
            size,
        )?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) =
            process::output(Command::new("umount").arg("--lazy").arg(self.folder.path()))
        {
            eprintln!("{error:#}");
        }
    }
}
