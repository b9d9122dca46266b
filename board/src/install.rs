//! Debian packages that the repository's work needs, and why.
//!
//! Only the machine's own apt configuration is used. Services of the packages are not started: a node starts its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// A package and the sentence that says what it is for.
pub type Need = (&'static str, &'static str);

/// To compile the workspace.
pub const BUILD: &[Need] = &[
    ("gcc", "links the programs and compiles SQLite and ring"),
    ("libc6-dev", "headers and the static C library"),
    ("libseccomp-dev", "system call filters of containers"),
    (
        "libtss2-dev",
        "the TPM's software stack, which edged asks the TPM with",
    ),
    ("pkg-config", "finds libseccomp and libtss2"),
];

/// To make anything of a box.
pub const FORGE: &[Need] = board_forge::NEEDS;

/// To run a node.
pub const HOST: &[Need] = &[
    ("mosquitto", "the broker"),
    (
        "nftables",
        "nft, with which the guardian replaces its table",
    ),
    ("ca-certificates", "the authorities of public registries"),
    ("openssh-client", "makes the operator's key"),
    ("swtpm", "the node's TPM"),
];

/// To keep images as others do.
pub const REGISTRY: &[Need] = &[("docker-registry", "a real registry to pull from")];

/// To give a box a network of its own.
pub const ENCLOSE: &[Need] = &[("iproute2", "brings its loopback up")];

/// To show the main job.
pub const DEMO: &[Need] = &[
    ("skopeo", "pushes images, or writes them into archives"),
    ("umoci", "builds images"),
    ("mosquitto-clients", "plays the sensors"),
    ("bind9-dnsutils", "dig"),
    ("curl", "reads the application's page"),
];

/// To test.
pub const TEST: &[Need] = &[
    ("busybox-static", "programs for images of the tests"),
    ("iproute2", "looks at links and namespaces"),
    ("knot-dnsutils", "kdig asks names in ways that dig does not"),
    ("zstd", "packs archives"),
    ("util-linux", "script, unshare and nsenter"),
    ("libfaketime", "makes a node's clock jump"),
    ("mount", "small disks that fill up"),
    ("dosfstools", "sticks with FAT32"),
    ("mtools", "files on them"),
    ("exfatprogs", "sticks with exFAT"),
    ("procps", "kill"),
    ("tpm2-tools", "quotes and checks in ways that are not ours"),
    (
        "cryptsetup-bin",
        "tries the recovery key on the data of a box",
    ),
    ("python3-venv", "keeps the tests' Python programs apart"),
];

/// To measure against.
pub const BENCH: &[Need] = &[
    ("crun", "peer: containers"),
    ("runc", "peer: containers"),
    ("containerd", "peer: start and memory"),
    ("podman", "peer: from run to the first page"),
    ("netavark", "podman's networks"),
    ("dnsperf", "asks names"),
    ("dnsmasq-base", "peer: names"),
    ("knot", "peer: names"),
    ("unbound", "peer: names"),
    ("wrk", "asks over HTTP"),
];

/// Debian's switch for maintainer scripts that would start a service (Policy 9.3.3.1).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Consent {
    /// Refuse, and name the command, instead of installing missing Debian packages.
    #[arg(long)]
    pub no_install: bool,
}

/// Sees to it that the packages are there.
pub fn ensure(consent: Consent, groups: &[&[Need]]) -> anyhow::Result<()> {
    let missing = missing(groups)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("Debian packages that are missing:");
    for (name, why) in &missing {
        eprintln!("  {name:<20} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    if consent.no_install {
        bail!(
            "packages are missing; run: apt-get install --no-install-recommends {}",
            names.join(" ")
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "only root can install packages; run: sudo apt-get install --no-install-recommends {}",
            names.join(" ")
        );
    }
    let _quiet = QuietServices::begin()?;
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(names);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::passed_through(&mut command)
}

/// The packages of some groups that are not installed.
pub fn missing(groups: &[&[Need]]) -> anyhow::Result<Vec<Need>> {
    let needs: Vec<Need> = groups.iter().copied().flatten().copied().collect();
    // dpkg-query fails as soon as one name is unknown to it, and still answers for the others.
    let answer = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(needs.iter().map(|(name, _)| name))
        .output()
        .context("cannot run dpkg-query: this needs Debian or a system made from it")?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let installed = |name: &str| {
        answer
            .lines()
            .any(|line| line.strip_prefix(name) == Some(" installed"))
    };
    Ok(needs
        .into_iter()
        .filter(|(name, _)| !installed(name))
        .collect())
}

/// Keeps maintainer scripts from starting services, until dropped. A policy that is there already stays in force.
struct QuietServices {
    ours: bool,
}

impl QuietServices {
    fn begin() -> anyhow::Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self { ours: false });
        }
        let text =
            "#!/bin/sh\n# Written by cargo board for the time of one apt-get install.\nexit 101\n";
        fs::write(path, text).with_context(|| format!("cannot write {POLICY}"))?;
        let ours = Self { ours: true };
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(ours)
    }
}

impl Drop for QuietServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!(
                "cannot remove {POLICY}: {error}; remove it by hand, or services will not start"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_there_is_missing_and_one_that_is_there_is_not() {
        let needs: &[Need] = &[("dpkg", "is always there"), ("no-such-package", "never is")];
        let names: Vec<_> = missing(&[needs]).unwrap();
        assert_eq!(names, [("no-such-package", "never is")]);
    }
}
