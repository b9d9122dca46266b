//! The peer: Debian for 64-bit ARM with its own kernel, its own initrd, systemd, and podman that starts the container.
//!
//! It is installed as Debian's installers do it: packages are unpacked, and their maintainer scripts run on the machine
//! itself. Ours cannot run programs for ARM, so that machine is the emulated one, under our kernel, once. Then it starts
//! as it will be started, serves its page for the first time, and switches itself off in order.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use board_forge::{Bind, Cache, DebianRoot, Debs, Inputs, Made, debs, output, run};
use board_node::port::free_port;
use board_qemu::Monitor;

use super::machine::{Kernel, Machine};
use super::{Boot, LONGEST, page};
use crate::bench::scratch::Scratch;

/// Packages besides those that every Debian has.
const PACKAGES: &[&str] = &[
    "aardvark-dns",
    "ca-certificates",
    "crun",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "iptables",
    "kmod",
    "linux-image-arm64",
    "mount",
    "netavark",
    "nftables",
    "podman",
    "systemd-sysv",
    "udev",
    "zstd",
];
/// Packages that every Debian has (`Essential: yes`), which apt does not name by itself where there is nothing yet.
const ESSENTIAL: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login.defs",
    "mawk",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "sed",
    "tar",
    "util-linux",
];
/// Size of its disk, MiB: twice what is on it.
const DISK: u32 = 3072;
/// What runs as process 1 while it is installed.
const INSTALL: &str = include_str!("files/install");
/// What is written into it, beside Debian's own.
const SETTINGS: [(&str, &str); 5] = [
    ("etc/fstab", "/dev/vda / ext4 defaults 0 1\n"),
    ("etc/hostname", "debian\n"),
    (
        "etc/systemd/network/80-uplink.network",
        "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
    ),
    (
        "etc/containers/systemd/page.container",
        include_str!("files/page.container"),
    ),
    (
        "etc/systemd/system/announce.service",
        include_str!("files/announce.service"),
    ),
];
/// Units that are enabled: link and target.
const ENABLED: [(&str, &str); 2] = [
    (
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "/usr/lib/systemd/system/systemd-networkd.service",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/announce.service",
        "../announce.service",
    ),
];
/// What the installation says when all of it went well.
const INSTALLED: &str = "PEER-INSTALLED";
/// What its unit says when podman's container runs.
const STARTED: &str = "PEER-STARTED";
/// What systemd says first.
const WELCOME: &str = "Welcome to Debian";
/// What is taken out of the disk, for QEMU.
const BOOT_FILES: [&str; 2] = ["vmlinuz", "initrd.img"];
/// The disk within its step.
const DISK_FILE: &str = "disk.img";
/// KiB on the disk without what the installation alone needed, within the step.
const USED: &str = "used";
/// What our kernel is told to install it.
const BY_OURS: &str =
    "console=ttyAMA0 root=/dev/vda rw init=/bin/bash loglevel=4 panic=-1 -- /install";
/// What its kernel is told: as ours, and systemd says what it does.
const COMMAND_LINE: &str = "console=ttyAMA0 root=/dev/vda rw loglevel=4 systemd.show_status=yes";

/// The peer, installed.
#[derive(Debug)]
pub struct Debian(Made);

impl Debian {
    /// Installs it, unless it was installed before: some minutes, as its scripts are emulated.
    pub fn build(
        cache: &Cache,
        root: &DebianRoot,
        archive: &Path,
        scratch: &Scratch,
    ) -> anyhow::Result<Self> {
        let names: Vec<&str> = PACKAGES.iter().chain(ESSENTIAL).copied().collect();
        let packages = debs(cache, &["trixie"], "arm64", &names)?;
        let kernel = board_kernel::build(cache)?;
        let inputs = Inputs::new()
            .text("packages", packages.identity.as_str())
            .text("install", INSTALL)
            .text("settings", &format!("{SETTINGS:?} {ENABLED:?} {DISK}"))
            .text("kernel", kernel.key.as_str())
            .text("tools", root.identity().as_str())
            .text("page", &page::source());
        let made = cache.step("bench-debian", &inputs, |out| {
            let made = Making {
                root,
                packages: &packages,
                out,
                folder: &scratch.folder("debian-made")?,
            };
            made.install(archive, &kernel.image)
        })?;
        Ok(Self(made))
    }

    /// One power-on. What it writes to its disk is forgotten, so each is the same one.
    pub fn boot(&self, root: &DebianRoot, scratch: &Scratch) -> anyhow::Result<Boot> {
        let here = free_port()?;
        let machine = self.start(root, &scratch.folder("debian")?, here)?;
        let power_on = Instant::now();
        let welcome = machine.hear(WELCOME, LONGEST)?;
        machine.hear(STARTED, LONGEST)?;
        let page = page::wait(here, LONGEST)?.duration_since(power_on);
        let memory = page::memory(here)?;
        Ok(Boot {
            moments: vec![
                ("systemd", welcome.as_secs_f64()),
                (page::MOMENT, page.as_secs_f64()),
            ],
            memory,
        })
    }

    /// One power-on that is looked at from its first page on.
    pub fn rest<T>(
        &self,
        root: &DebianRoot,
        scratch: &Scratch,
        look: impl FnOnce(&mut Monitor) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (folder, here) = (scratch.folder("debian")?, free_port()?);
        let machine = self.start(root, &folder, here)?;
        machine.hear(STARTED, LONGEST)?;
        page::wait(here, LONGEST)?;
        look(&mut Monitor::open_in(&folder)?)
    }

    fn start(&self, root: &DebianRoot, folder: &Path, here: u16) -> anyhow::Result<Machine> {
        let kernel = Kernel {
            image: &self.0.join("vmlinuz"),
            initrd: Some(&self.0.join("initrd.img")),
            words: COMMAND_LINE,
        };
        let disk = self.0.join(DISK_FILE);
        Machine::start(root, folder, &kernel, &disk, true, here)
    }

    /// Megabytes of its files: what is on its disk, kernel and initrd among it.
    pub fn size(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(self.0.join(USED))?;
        let kib: u64 = text.trim().parse().context("its size is no number")?;
        super::megabytes(kib * 1024)
    }
}

/// What it takes to install it.
struct Making<'a> {
    root: &'a DebianRoot,
    packages: &'a Debs,
    out: &'a Path,
    folder: &'a Path,
}

impl Making<'_> {
    fn install(&self, archive: &Path, kernel: &Path) -> anyhow::Result<()> {
        let tree = self.folder.join("tree");
        unpack(self.packages, &tree)?;
        for (name, text) in SETTINGS {
            write(&tree.join(name), text)?;
        }
        for (link, target) in ENABLED {
            let link = tree.join(link);
            if let Some(folder) = link.parent() {
                fs::create_dir_all(folder)?;
            }
            symlink(target, link)?;
        }
        write(&tree.join("install"), INSTALL)?;
        fs::copy(archive, tree.join("page.tar"))?;
        let size = format!("{DISK}M");
        let words = [
            "-q",
            "-t",
            "ext4",
            "-d",
            "/work/made/tree",
            DISK_FILE,
            &size,
        ];
        self.tool("mke2fs", &words)?;
        fs::remove_dir_all(&tree)?;
        self.run(
            &Kernel {
                image: kernel,
                initrd: None,
                words: BY_OURS,
            },
            INSTALLED,
        )?;
        for name in BOOT_FILES.iter().chain([&USED]) {
            let ask = format!("dump /boot/{name} /work/out/{name}");
            self.tool("debugfs", &["-R", &ask, DISK_FILE])?;
            if !self.out.join(name).exists() {
                bail!("the installation left no /boot/{name}");
            }
        }
        self.run(
            &Kernel {
                image: &self.out.join("vmlinuz"),
                initrd: Some(&self.out.join("initrd.img")),
                words: COMMAND_LINE,
            },
            STARTED,
        )
    }

    /// Runs the machine until it switches itself off.
    fn run(&self, kernel: &Kernel<'_>, words: &str) -> anyhow::Result<()> {
        let disk = self.out.join(DISK_FILE);
        let machine = Machine::start(self.root, self.folder, kernel, &disk, false, free_port()?)?;
        machine.end(words)
    }

    fn tool(&self, name: &str, words: &[&str]) -> anyhow::Result<()> {
        let binds = [
            Bind::read(self.folder, "/work/made"),
            Bind::write(self.out, "/work/out"),
        ];
        let mut command = self.root.command("/work/out", &binds, name)?;
        run(command.args(words))
    }
}

/// Unpacks every package, and tells dpkg that it is unpacked and not configured yet.
fn unpack(packages: &Debs, tree: &Path) -> anyhow::Result<()> {
    // Debian's merged /usr, before the first package: those that still name /bin follow the link.
    for name in ["bin", "sbin", "lib"] {
        fs::create_dir_all(tree.join("usr").join(name))?;
        symlink(format!("usr/{name}"), tree.join(name))?;
    }
    for folder in ["proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    let admin = tree.join("var/lib/dpkg");
    for folder in ["info", "updates", "triggers"] {
        fs::create_dir_all(admin.join(folder))?;
    }
    let mut status = Vec::new();
    for package in &packages.packages {
        let file = packages.folder.join(&package.file);
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(tree))?;
        let fields = output(Command::new("dpkg-deb").arg("-f").arg(&file))?;
        // dpkg(1): scripts of a package that may be there for several architectures have the architecture in their name.
        let name = if fields.lines().any(|line| line == "Multi-Arch: same") {
            format!("{}:{}", package.name, package.architecture)
        } else {
            package.name.clone()
        };
        let control = tree.join("control");
        run(Command::new("dpkg-deb").arg("-e").arg(&file).arg(&control))?;
        for entry in fs::read_dir(&control)? {
            let entry = entry?;
            let part = entry.file_name();
            if part != "control" && part != "conffiles" {
                let to = format!("{name}.{}", part.to_string_lossy());
                fs::rename(entry.path(), admin.join("info").join(to))?;
            }
        }
        fs::remove_dir_all(&control)?;
        fs::write(admin.join(format!("info/{name}.list")), "/.\n")?;
        status.push(format!(
            "Status: install ok unpacked\n{}\n",
            fields.trim_end()
        ));
    }
    fs::write(admin.join("status"), status.join("\n"))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
