//! The application: a static page, and a program that says how much memory the machine has left.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use board_forge::{Cache, debs};

use crate::bench::scratch::Scratch;
use crate::image::Image;
use crate::process;

/// The image's name in the archive.
pub const IMAGE: &str = "umec-bench/page:1";
/// The last moment of a start.
pub const MOMENT: &str = "the first page";
/// Port of the machines that leads to the application.
pub const PUBLISHED: u16 = 8081;
/// The application's own.
pub const PORT: u16 = 8080;
/// Says what /proc/meminfo says, which is about the whole machine in a container too.
const PROGRAM: &str = "#!/bin/busybox sh\n\
    echo Content-Type: text/plain\n\
    echo\n\
    exec /bin/busybox cat /proc/meminfo\n";
/// Its program: serves at once.
const SERVER: [&str; 7] = ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/srv"];
/// Longest answer of an emulated machine on a busy one.
const ANSWER: &str = "5";
/// Pause between two tries.
const PACE: Duration = Duration::from_millis(20);
/// How long a machine settles before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);
/// The machines' memory, MiB.
pub const MEMORY: u16 = 1024;

/// Debian's busybox for 64-bit ARM, as `docker save` writes images.
pub fn archive(cache: &Cache, scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let debs = debs(cache, &["trixie"], "arm64", &["busybox-static"])?;
    let unpacked = scratch.folder("unpacked")?;
    for package in &debs.packages {
        let deb = debs.folder.join(&package.file);
        process::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked))?;
    }
    let tree = scratch.folder("tree")?;
    for folder in ["bin", "srv/cgi-bin", "proc"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(unpacked.join("usr/bin/busybox"), tree.join("bin/busybox"))?;
    fs::write(tree.join("srv/index.html"), "here\n")?;
    let program = tree.join("srv/cgi-bin/memory");
    fs::write(&program, PROGRAM)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let image = Image::new(&scratch.path().join("layout"), "1")?;
    image.insert(&tree, "/")?;
    let words = SERVER.map(|word| format!("--config.cmd={word}"));
    let mut options: Vec<&str> = words.iter().map(String::as_str).collect();
    options.extend(["--architecture=arm64", "--config.user=65534:65534"]);
    image.configure(&options)?;
    let archive = scratch.path().join("page.tar");
    image.archive(&archive, IMAGE)?;
    image.signed_archive(&signed(&archive), IMAGE)?;
    Ok(archive)
}

/// The same image signed, for the box, which takes no other.
pub fn signed(archive: &Path) -> PathBuf {
    archive.with_extension("signed.tar")
}

/// What the image is made of, for who keeps it.
pub fn source() -> String {
    format!("{IMAGE} {PUBLISHED} {SERVER:?} {PROGRAM}")
}

/// Asks until the page is there, and says when that was.
pub fn wait(port: u16, longest: Duration) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + longest;
    loop {
        match get(port, "/") {
            Ok(_) => return Ok(Instant::now()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(PACE),
        }
    }
}

/// Memory of a machine at rest, MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// What is neither the kernel's from the beginning nor available: what free(1) calls used.
    pub used: f64,
    /// All that is not available.
    pub taken: f64,
}

/// The machine's memory, once it has settled.
pub fn memory(port: u16) -> anyhow::Result<Memory> {
    std::thread::sleep(SETTLE);
    let text = get(port, "/cgi-bin/memory")?;
    parse(&text).with_context(|| format!("this is no /proc/meminfo: {text}"))
}

fn parse(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let available = field("MemAvailable:")?;
    Some(Memory {
        used: field("MemTotal:")? - available,
        taken: f64::from(MEMORY) - available,
    })
}

fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    process::output(
        Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", ANSWER])
            .args(["--noproxy", "*"])
            .arg(format!("http://{address}{path}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_the_kernel_took_at_its_start_is_taken_and_not_used() {
        let text = "MemTotal:        1024000 kB\nMemFree:  1 kB\nMemAvailable:     512000 kB\n";
        let memory = parse(text).unwrap();
        assert!((memory.used - 500.0).abs() < 1e-9, "{memory:?}");
        assert!((memory.taken - 524.0).abs() < 1e-9, "{memory:?}");
        assert!(parse("MemTotal: 1024000 kB\n").is_none());
    }
}
