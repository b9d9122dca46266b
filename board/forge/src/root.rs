//! A Debian in a folder, and commands inside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::{Cache, Digest, EPOCH, Inputs, Made, Mirror, run};

/// Ends the words that lead into a root; what follows is the command inside.
pub(crate) const INSIDE: &str = "--inside--";
/// Every package and version of a root, within it.
const PACKAGES: &str = "packages.txt";
/// Folders below which commands find what is bound into a root.
const PLACES: [&str; 2] = ["work", "src"];

/// Leads into a root: private mounts that vanish with the command, the root itself read-only. Words: ROOT, then for
/// each bind its source, its place and `rw` or `ro`, then INSIDE and the command.
const ENTER: &str = r#"
root=$1; shift
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
for place in tmp run work src; do mount -t tmpfs -o mode=1777 tmpfs "$root/$place"; done
while [ "$1" != --inside-- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : > "$root$2"; fi
  mount --bind "$1" "$root$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$root$2"; fi
  shift 3
done
shift
mount -o remount,bind,ro "$root"
folder=$1; shift
exec chroot "$root" /bin/sh -c 'cd "$1" && shift && exec setpriv --pdeathsig TERM -- "$@"' sh "$folder" "$@"
"#;

/// What a root is made of.
#[derive(Debug, Clone, Copy)]
pub struct RootSpec<'a> {
    /// The step's name, such as `tool-root`.
    pub name: &'a str,
    /// A release's name, such as `trixie`.
    pub suite: &'a str,
    /// The first is the one whose programs run.
    pub architectures: &'a [&'a str],
    /// Packages, each with what it is for; `name:arch` for another architecture than the first.
    pub packages: &'a [(&'a str, &'a str)],
}

/// A Debian in a folder.
#[derive(Debug, Clone)]
pub struct DebianRoot {
    made: Made,
    identity: Digest,
}

/// A file or folder of the machine that a command inside sees.
#[derive(Debug, Clone)]
pub struct Bind {
    from: PathBuf,
    to: String,
    writable: bool,
}

impl Bind {
    /// Seen as `to` (below `/work` or `/src`), not to be written.
    pub fn read(from: impl Into<PathBuf>, to: &str) -> Self {
        Self {
            from: from.into(),
            to: to.to_owned(),
            writable: false,
        }
    }

    /// Seen as `to` (below `/work` or `/src`), to be written.
    pub fn write(from: impl Into<PathBuf>, to: &str) -> Self {
        Self {
            writable: true,
            ..Self::read(from, to)
        }
    }
}

impl RootSpec<'_> {
    /// The root, made by mmdebstrap from the machine's mirrors: as root directly, as another user in a user namespace.
    ///
    /// # Errors
    /// mmdebstrap's, with its last lines.
    pub fn make(&self, cache: &Cache) -> anyhow::Result<DebianRoot> {
        let names: Vec<&str> = self.packages.iter().map(|(name, _)| *name).collect();
        let inputs = Inputs::new()
            .text("suite", self.suite)
            .text("architectures", &self.architectures.join(","))
            .text("packages", &names.join(","));
        let made = cache.step(self.name, &inputs, |out| self.bootstrap(out, &names))?;
        let identity = Digest::of_file(&made.join(PACKAGES))?;
        Ok(DebianRoot { made, identity })
    }

    fn bootstrap(&self, out: &Path, names: &[&str]) -> anyhow::Result<()> {
        let privileged = rustix::process::geteuid().is_root();
        let lines = Mirror::of_machine()?.lines(self.suite, "");
        let archive = out.join("root.tar");
        let mut command = Command::new("mmdebstrap");
        command
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .arg(if privileged {
                "--mode=root"
            } else {
                "--mode=unshare"
            })
            .args(["--variant=apt", "--format=tar"])
            .arg(format!("--architectures={}", self.architectures.join(",")))
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .args(
                ["man", "doc", "info", "locale"]
                    .map(|part| format!("--dpkgopt=path-exclude=/usr/share/{part}/*")),
            )
            .arg(format!("--include={}", names.join(",")))
            .arg(self.suite)
            .arg(&archive)
            .args(lines);
        run(&mut command)?;
        // Unpacked as the user who builds: a cache is one user's, and nothing in a root needs an owner.
        run(Command::new("tar")
            .args(["--extract", "--no-same-owner", "--no-same-permissions"])
            .args(["--exclude=./dev/*", "--directory"])
            .arg(out)
            .arg("--file")
            .arg(&archive))?;
        fs::remove_file(&archive)?;
        for name in PLACES {
            fs::create_dir_all(out.join(name))?;
        }
        let versions = fs::read_to_string(out.join("var/lib/dpkg/status"))
            .context("the root has no list of packages")?;
        fs::write(out.join(PACKAGES), installed(&versions))?;
        fs::set_permissions(out, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// `name:architecture version` of every package in a dpkg status file, sorted.
fn installed(status: &str) -> String {
    let field = |paragraph: &str, name: &str| {
        paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_start_matches(": ").to_owned())
            .unwrap_or_default()
    };
    let mut lines: Vec<String> = status
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| {
            let (name, architecture) = (
                field(paragraph, "Package"),
                field(paragraph, "Architecture"),
            );
            format!("{name}:{architecture} {}\n", field(paragraph, "Version"))
        })
        .collect();
    lines.sort();
    lines.concat()
}

impl DebianRoot {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.made.path
    }

    /// The hash of the names and versions of its packages.
    pub fn identity(&self) -> &Digest {
        &self.identity
    }

    /// A command inside, with a clean environment, in `folder`. The root itself cannot be written; `/tmp`, `/run` and
    /// what is bound can. The process is the command itself, so that signals reach it, and it ends with the thread that
    /// started it: a build that was given up leaves no compiler behind.
    ///
    /// # Errors
    /// A bind's place is not below `/work` or `/src`.
    pub fn command(&self, folder: &str, binds: &[Bind], program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "--",
                "/bin/sh",
                "-e",
                "-c",
            ])
            .args([ENTER, "sh"])
            .arg(self.path());
        for bind in binds {
            let placed = PLACES.iter().any(|place| {
                bind.to
                    .strip_prefix('/')
                    .and_then(|to| to.strip_prefix(place))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if !placed || bind.to.contains("..") {
                bail!("{} is not below /work or /src of a root", bind.to);
            }
            command
                .arg(&bind.from)
                .arg(&bind.to)
                .arg(if bind.writable { "rw" } else { "ro" });
        }
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/tmp")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .args([INSIDE, folder, program]);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_root_is_its_packages_and_versions() {
        let status = "Package: b\nStatus: ok\nArchitecture: arm64\nVersion: 2\n\nPackage: a\nArchitecture: all\nVersion: 1\nDescription: x\n Version: 9\n\n";
        assert_eq!(installed(status), "a:all 1\nb:arm64 2\n");
    }

    #[test]
    fn only_two_places_of_a_root_take_what_is_bound() {
        let root = DebianRoot {
            made: Made {
                path: "/nowhere".into(),
                key: Digest::of(b""),
                kept: true,
            },
            identity: Digest::of(b""),
        };
        let command = |to: &str| root.command("/", &[Bind::read("/tmp", to)], "true");
        assert!(command("/work/a").is_ok() && command("/src").is_ok());
        for to in ["/etc", "/srcs", "work", "/work/../etc"] {
            assert!(command(to).is_err(), "{to}");
        }
    }
}
