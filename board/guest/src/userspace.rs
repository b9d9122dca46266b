//! A user space with what the tests call, from Debian's packages for arm64, as one read-only file system.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use board_cross::{BlackBox, Profile};
use board_forge::{Bind, Cache, DebianRoot, Debs, Inputs, Made, debs, output, run};

/// Packages, and what they are there for: what `board/src/install.rs` asks of a machine, and what a machine has anyway.
const PACKAGES: &[(&str, &str)] = &[
    ("base-files", "the folders of a Debian"),
    ("bash", "process 1's shell, and ldd is a script of it"),
    ("bind9-dnsutils", "dig"),
    ("busybox-static", "programs for images, and poweroff"),
    ("ca-certificates", "the authorities of public registries"),
    ("coreutils", "cp, dd, head, id, sync"),
    ("dash", "sh"),
    ("curl", "reads pages, and is an image itself"),
    ("docker-registry", "a real registry to pull from"),
    ("dpkg", "takes packages apart for an image"),
    ("gzip", "packs archives of applications"),
    ("iproute2", "looks at links and namespaces"),
    ("libc-bin", "ldd"),
    ("libc6", "the C library"),
    ("libfaketime", "makes a node's clock jump"),
    ("libgcc-s1", "our programs"),
    ("libseccomp2", "edged-worker"),
    ("libtss2-esys-3.0.2-0t64", "edged speaks with a TPM"),
    ("libtss2-rc0t64", "names what a TPM refuses"),
    ("libtss2-tctildr0t64", "finds a way to it"),
    ("libtss2-tcti-swtpm0t64", "the way to a node's TPM"),
    ("mosquitto", "the broker"),
    ("mosquitto-clients", "plays the sensors"),
    ("mount", "mounts"),
    (
        "nftables",
        "nft, with which the guardian replaces its table",
    ),
    ("openssh-client", "makes the operator's key"),
    ("openssl", "signs packages of applications"),
    ("procps", "kill"),
    ("sed", "marks the tests' lines"),
    ("skopeo", "pushes images"),
    ("swtpm", "a node's TPM"),
    ("tar", "dpkg-deb unpacks with it"),
    ("umoci", "builds images"),
    ("util-linux", "setpriv, unshare, nsenter, mkswap"),
];
/// Packages that the tests make a third party's image of.
const IMAGE: &[&str] = &[
    "libc6",
    "libcrypt1",
    "libpcre2-8-0",
    "libssl3t64",
    "libzstd1",
    "nginx",
    "nginx-common",
    "zlib1g",
];
/// Users: `mosquitto` is what its package would make.
const PASSWD: &str = "root:x:0:0:root:/tmp:/bin/sh\n\
    mosquitto:x:100:100::/var/lib/mosquitto:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nmosquitto:x:100:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";
/// What maintainer scripts would have written into /etc.
const SETTINGS: [(&str, &str); 6] = [
    ("passwd", PASSWD),
    ("group", GROUP),
    ("nsswitch.conf", NSSWITCH),
    ("hosts", "127.0.0.1 localhost guest\n::1 localhost\n"),
    ("resolv.conf", ""),
    // The box's own; `files/init` applies it.
    (
        "sysctl.d/umec.conf",
        include_str!("../../image/files/etc/sysctl.d/umec.conf"),
    ),
];
/// Where process 1's parts are mounted.
const MOUNT_POINTS: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var"];
/// What the tests do not read, and a third of the room.
const LEFT_OUT: [&str; 4] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
];
/// dpkg's account of what is unpacked (`DPKG_ADMINDIR` in `files/init`): a node's start asks it.
const ADMIN: &str = "dpkg";
/// Process 1.
const INIT: &str = include_str!("../files/init");
/// The file system within its step.
pub const FILE: &str = "root.erofs";

/// Everything from Debian.
pub fn packages(cache: &Cache) -> anyhow::Result<Debs> {
    let names = PACKAGES.iter().map(|(name, _)| *name);
    let names: Vec<&str> = names.chain(IMAGE.iter().copied()).collect();
    debs(cache, &["trixie"], "arm64", &names)
}

/// Makes it, with our programs and the tests inside.
///
/// # Errors
/// A package is not there, or a tool's.
pub fn make(cache: &Cache, root: &DebianRoot, tests: &BlackBox) -> anyhow::Result<Made> {
    let packages = packages(cache)?;
    let programs = board_cross::programs(cache, Profile::Board)?;
    let inputs = Inputs::new()
        .text("packages", packages.identity.as_str())
        .text("init", INIT)
        .text("settings", &format!("{SETTINGS:?} {LEFT_OUT:?}"))
        .text("tools", root.identity().as_str())
        .made("programs", &programs.made)
        .made("tests", &tests.made);
    cache.step("guest", &inputs, |out| {
        let scratch = tempfile::tempdir_in(out)?;
        let tree = scratch.path();
        links(tree)?;
        let mut installed = Vec::new();
        for package in &packages.packages {
            if !package.name.starts_with("nginx") {
                let file = packages.folder.join(&package.file);
                run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(tree))?;
                let fields = output(Command::new("dpkg-deb").arg("-f").arg(&file))?;
                installed.push(format!("Status: install ok installed\n{fields}"));
            }
        }
        for folder in ["info", "updates"] {
            fs::create_dir_all(tree.join(ADMIN).join(folder))?;
        }
        fs::write(tree.join(ADMIN).join("status"), installed.join("\n"))?;
        for folder in LEFT_OUT {
            let path = tree.join(folder);
            if path.exists() {
                fs::remove_dir_all(path)?;
            }
        }
        fs::create_dir_all(tree.join("debs"))?;
        for name in IMAGE {
            let package = packages
                .packages
                .iter()
                .find(|package| package.name == *name);
            let Some(package) = package else {
                bail!("{name} is not among what apt downloaded");
            };
            fs::copy(
                packages.folder.join(&package.file),
                tree.join("debs").join(&package.file),
            )?;
        }
        settings(tree)?;
        for (name, path) in programs.all() {
            place(&path, &tree.join("programs").join(name))?;
        }
        for folder in ["programs", "tests", "work"] {
            let from = tests.made.join(folder);
            run(Command::new("cp").arg("-R").arg(from).arg(tree))?;
        }
        let binds = [
            Bind::read(tree, "/work/tree"),
            Bind::write(out, "/work/out"),
        ];
        let to = format!("/work/out/{FILE}");
        run(root.command("/work", &binds, "mkfs.erofs")?.args([
            "--quiet",
            "--all-root",
            "-T0",
            "-U",
            "clear",
            &to,
            "/work/tree",
        ]))
    })
}

fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
}

/// Debian's merged /usr, before the first package: those that still name /bin follow the link.
fn links(tree: &Path) -> anyhow::Result<()> {
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755))?;
    for name in ["bin", "sbin", "lib"] {
        fs::create_dir_all(tree.join("usr").join(name))?;
        symlink(format!("usr/{name}"), tree.join(name))?;
    }
    Ok(())
}

/// What maintainer scripts would have written.
fn settings(tree: &Path) -> anyhow::Result<()> {
    for name in MOUNT_POINTS {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::create_dir_all(tree.join("etc/sysctl.d"))?;
    for (name, text) in SETTINGS {
        let path = tree.join("etc").join(name);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        fs::write(path, text)?;
    }
    let init = tree.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
