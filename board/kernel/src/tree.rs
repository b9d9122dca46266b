//! Linux's sources in a folder for one build.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use board_forge::{Bind, Cache, DebianRoot, EPOCH, output, progress, run};
use tempfile::TempDir;

use crate::fragment::Settings;

/// What is made: the plain image, the one that unpacks itself, and the device trees of the Pis.
pub const TARGETS: [&str; 5] = [
    "Image",
    "vmlinuz.efi",
    "broadcom/bcm2711-rpi-4-b.dtb",
    "broadcom/bcm2837-rpi-3-b.dtb",
    "broadcom/bcm2837-rpi-3-b-plus.dtb",
];
/// What a build leaves, from its place below the build folder to its name among the outputs.
const OUTPUTS: [(&str, &str); 7] = [
    ("arch/arm64/boot/Image", "Image"),
    ("arch/arm64/boot/vmlinuz.efi", "vmlinuz.efi"),
    (".config", "config"),
    ("System.map", "System.map"),
    (
        "arch/arm64/boot/dts/broadcom/bcm2711-rpi-4-b.dtb",
        "bcm2711-rpi-4-b.dtb",
    ),
    (
        "arch/arm64/boot/dts/broadcom/bcm2837-rpi-3-b.dtb",
        "bcm2837-rpi-3-b.dtb",
    ),
    (
        "arch/arm64/boot/dts/broadcom/bcm2837-rpi-3-b-plus.dtb",
        "bcm2837-rpi-3-b-plus.dtb",
    ),
];
/// The file with the kernel's release, as `uname -r` tells it.
pub const RELEASE: &str = "release";
/// The compiler, assembler, linker and packer for the boards. Their own words go into the key of the build.
const PROGRAMS: [&str; 3] = ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld", "zstd"];
/// Words by which the kernel's build tells that an object is done.
const OBJECT: [&str; 4] = ["CC", "AS", "LD", "AR"];
/// Objects of a whole build, about: for the progress alone.
const OBJECTS: usize = 2300;
/// How often the progress is told: a person reads no faster.
const TELL: Duration = Duration::from_secs(1);
/// Lines of a failed build that are repeated; errors of the compiler stand a few lines before the end.
const TAIL: usize = 40;
/// Stands in for hexdump, which the build of `vmlinuz.efi` asks for one number (`hexdump -s16 -n4 -e '"%u"' FILE`): it is
/// in a package of its own, and od(1) is in every Debian.
const HEXDUMP: &str = "#!/bin/sh\nexec od -An -tu4 -j16 -N4 \"$5\"\n";
/// The root's programs, after our stand-in.
const SEARCH_PATH: &str = "/work/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The build leaves the machine to others while it takes a quarter of an hour.
const NICE: &str = "5";

/// Versions of the programs that decide about the kernel's bytes. Other packages of the root come and go without a
/// quarter of an hour for each.
///
/// # Errors
/// The root has no such program.
pub fn versions(root: &DebianRoot) -> anyhow::Result<String> {
    let mut versions = String::new();
    for program in PROGRAMS {
        let text = output(root.command("/", &[], program)?.arg("--version"))?;
        versions.push_str(text.lines().next().unwrap_or_default());
        versions.push('\n');
    }
    Ok(versions)
}

/// The sources, unpacked for one build; they go with this.
pub struct Tree<'a> {
    root: &'a DebianRoot,
    work: TempDir,
}

impl<'a> Tree<'a> {
    /// Unpacks the sources.
    ///
    /// # Errors
    /// The disk is full (2.5 GB are needed for a build), or the archive is none.
    pub fn unpack(cache: &Cache, root: &'a DebianRoot, archive: &Path) -> anyhow::Result<Self> {
        let work = tempfile::tempdir_in(cache.workshop("kernel")?)?;
        for folder in ["linux", "out", "bin"] {
            fs::create_dir(work.path().join(folder))?;
        }
        fs::write(work.path().join("fragment"), crate::fragment()?.to_string())?;
        let stand_in = work.path().join("bin/hexdump");
        fs::write(&stand_in, HEXDUMP)?;
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755))?;
        let tree = Self { root, work };
        let archive = Bind::read(archive, "/src/linux.tar.xz");
        let mut binds = tree.binds();
        binds.push(archive);
        run(root
            .command("/work", &binds, "tar")?
            .args(["--extract", "--no-same-owner", "--strip-components=1"])
            .args(["--directory=/work/linux", "--file=/src/linux.tar.xz"]))
        .context("cannot unpack Linux's sources")?;
        Ok(tree)
    }

    fn binds(&self) -> Vec<Bind> {
        vec![Bind::write(self.work.path(), "/work")]
    }

    fn make(&self) -> anyhow::Result<Command> {
        // The same words on every machine and day: they are in the kernel's version.
        let day = format!("--date=@{EPOCH}");
        let built = output(self.root.command("/", &[], "date")?.args(["--utc", &day]))?;
        let mut command = self.root.command("/work/linux", &self.binds(), "nice")?;
        command
            .env("PATH", SEARCH_PATH)
            .env("ARCH", "arm64")
            .env("CROSS_COMPILE", "aarch64-linux-gnu-")
            .env("KBUILD_BUILD_USER", "umec")
            .env("KBUILD_BUILD_HOST", "umec")
            .env("KBUILD_BUILD_VERSION", "1")
            .env("KBUILD_BUILD_TIMESTAMP", built.trim())
            .args(["-n", NICE, "make", "O=/work/out"]);
        Ok(command)
    }

    /// Writes the configuration: everything off but the fragment and what it needs.
    ///
    /// # Errors
    /// A line of the fragment does not hold in the end; all of them are named.
    pub fn configure(&self) -> anyhow::Result<()> {
        let fragment = crate::fragment()?;
        let unknown = fragment.unknown(&self.work.path().join("linux"))?;
        if !unknown.is_empty() {
            bail!(
                "Linux has no option {}; look for its name in this version",
                unknown.join(", ")
            );
        }
        run(self
            .make()?
            .args(["KCONFIG_ALLCONFIG=/work/fragment", "allnoconfig"]))?;
        let config = fs::read_to_string(self.work.path().join("out/.config"))?;
        let lost = fragment.lost(&Settings::parse(&config)?);
        if !lost.is_empty() {
            bail!(
                "lines of board/kernel/fragment do not hold in the final configuration ({}); add what they depend on",
                lost.join("; ")
            );
        }
        Ok(())
    }

    /// Compiles, and puts the outputs into `out`.
    ///
    /// # Errors
    /// The compiler's, with its last lines.
    pub fn compile(&self, out: &Path) -> anyhow::Result<()> {
        let release = output(self.make()?.args(["--silent", "kernelrelease"]))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut command = self.make()?;
        command.arg(format!("-j{cores}")).args(TARGETS);
        watch(&mut command, &self.work.path().join("log"))?;
        for (from, to) in OUTPUTS {
            let from: PathBuf = self.work.path().join("out").join(from);
            fs::copy(&from, out.join(to))
                .with_context(|| format!("the build left no {}", from.display()))?;
        }
        Ok(fs::write(out.join(RELEASE), release.trim())?)
    }
}

/// Runs the build and counts the objects that it tells of.
fn watch(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let progress = progress::begin("kernel, compiled");
    let errors = fs::File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("cannot run make")?;
    let mut objects = 0_usize;
    let mut told = Instant::now();
    if let Some(lines) = child.stdout.take() {
        for line in BufReader::new(lines).split(b'\n') {
            let line = line?;
            if is_object(&String::from_utf8_lossy(&line)) {
                objects += 1;
                if told.elapsed() >= TELL {
                    progress.note(&format!("{objects} of about {OBJECTS} objects"));
                    told = Instant::now();
                }
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL);
        bail!(
            "the kernel's build ended with {status}:\n{}",
            lines.get(from..).unwrap_or_default().join("\n")
        );
    }
    progress.made();
    Ok(())
}

fn is_object(line: &str) -> bool {
    let mut words = line.split_whitespace();
    line.starts_with(' ') && words.next().is_some_and(|word| OBJECT.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_and_other_words_of_the_build_are_not() {
        assert!(is_object("  CC      net/core/dev.o"));
        assert!(is_object("  AR      net/built-in.a"));
        assert!(!is_object("  GEN     Makefile"));
        assert!(!is_object("CC is the compiler"));
    }

    #[test]
    fn a_build_that_fails_repeats_the_compilers_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo '  CC a.o'; echo 'a.c:1: error: no' >&2; exit 2"]);
        let error = watch(&mut command, &folder.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("a.c:1: error: no"), "{error}");
    }
}
